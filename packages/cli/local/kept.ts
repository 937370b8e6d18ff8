/** An output that is kept for one document at the end: its beginning, up to a bound, as text if it is text. */

const KEPT_BYTES_MAX = 1024 * 1024

export class Kept {
  readonly #chunks: Uint8Array[] = []
  #size = 0
  #left = 0

  add(chunk: Uint8Array): void {
    const part = chunk.subarray(0, KEPT_BYTES_MAX - this.#size)
    this.#left += chunk.length - part.length
    if (part.length === 0) return
    this.#chunks.push(part)
    this.#size += part.length
  }

  /** `NAME` as text, or `NAME_base64` where it is not UTF-8; `NAME_left_out_bytes` says how much came behind it. */
  as(name: string): Record<string, string | number> {
    const bytes = Buffer.concat(this.#chunks)
    const text = this.#text(bytes)
    return { ...(text === undefined ? { [`${name}_base64`]: bytes.toString('base64') } : { [name]: text }), [`${name}_left_out_bytes`]: this.#left }
  }

  #text(bytes: Buffer): string | undefined {
    try {
      // What was cut may end in the middle of a character, which is then left out.
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: this.#left > 0 })
    } catch {
      return undefined
    }
  }
}
