/** The plain bytes of records, the last ones kept: whoever wants one small object of a record soon wants its neighbours. */

/** Records beyond it hold one object, which nobody wants twice. */
const KEPT_BYTES_EACH = 256 * 1024
const KEPT_BYTES_MAX = 8 * 1024 * 1024

export class Blocks {
  /** The one that was used last comes last. */
  readonly #kept = new Map<string, { readonly block: Promise<Buffer | null>; bytes: number }>()
  #bytes = 0

  /** Two who want the same one at once read it once. `null` is not kept: it may be there at the next look. */
  get(name: string, read: () => Promise<Buffer | null>): Promise<Buffer | null> {
    const known = this.#kept.get(name)
    if (known !== undefined) {
      this.#kept.delete(name)
      this.#kept.set(name, known)
      return known.block
    }
    const entry = { block: read(), bytes: 0 }
    this.#kept.set(name, entry)
    entry.block.then(
      (block) => this.#arrived(name, entry, block),
      () => this.#drop(name, entry),
    )
    return entry.block
  }

  clear(): void {
    this.#kept.clear()
    this.#bytes = 0
  }

  #arrived(name: string, entry: { bytes: number; readonly block: Promise<Buffer | null> }, block: Buffer | null): void {
    if (this.#kept.get(name) !== entry) return
    if (block === null || block.length > KEPT_BYTES_EACH) {
      this.#drop(name, entry)
      return
    }
    entry.bytes = block.length
    this.#bytes += block.length
    for (const [oldest, { bytes }] of this.#kept) {
      if (this.#bytes <= KEPT_BYTES_MAX) return
      // One that is still on its way has no bytes yet.
      if (bytes > 0) {
        this.#kept.delete(oldest)
        this.#bytes -= bytes
      }
    }
  }

  #drop(name: string, entry: { readonly bytes: number }): void {
    if (this.#kept.get(name) !== entry) return
    this.#kept.delete(name)
    this.#bytes -= entry.bytes
  }
}
