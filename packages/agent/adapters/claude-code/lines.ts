/** Splits a foreign process's output into lines of bounded length; what is longer is dropped whole and counted. */

export const LINE_BYTES_MAX = 16 * 1024 * 1024

export class LineSplitter {
  readonly #max: number
  readonly #onLine: (line: string) => void
  #parts: Buffer[] = []
  #size = 0
  #isSkipping = false
  #skipped = 0

  constructor(onLine: (line: string) => void, maxBytes: number = LINE_BYTES_MAX) {
    this.#onLine = onLine
    this.#max = maxBytes
  }

  /** Lines that were too long. */
  get skipped(): number {
    return this.#skipped
  }

  add(chunk: Buffer): void {
    let from = 0
    for (let at = chunk.indexOf(10, from); at >= 0; at = chunk.indexOf(10, from)) {
      this.#take(chunk.subarray(from, at))
      this.#endLine()
      from = at + 1
    }
    if (from < chunk.length) this.#take(chunk.subarray(from))
  }

  /** What stands after the last line feed. */
  end(): void {
    this.#endLine()
  }

  #take(part: Buffer): void {
    if (this.#isSkipping || part.length === 0) return
    if (this.#size + part.length > this.#max) {
      this.#isSkipping = true
      this.#skipped++
      this.#parts = []
      this.#size = 0
      return
    }
    this.#parts.push(part)
    this.#size += part.length
  }

  #endLine(): void {
    const wasSkipping = this.#isSkipping
    const line = Buffer.concat(this.#parts).toString('utf8')
    this.#parts = []
    this.#size = 0
    this.#isSkipping = false
    if (!wasSkipping && line.trim() !== '') this.#onLine(line)
  }
}
