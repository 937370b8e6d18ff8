/** Keeps the beginning and the end of an output of any length in bounded memory, and says what was left out between. */

export class BoundedOutput {
  readonly #headMax: number
  readonly #tailMax: number
  readonly #head: Buffer[] = []
  readonly #tail: Buffer[] = []
  #headSize = 0
  #tailSize = 0
  #cut = 0

  /** Sizes in bytes; a head of 0 keeps the end alone. */
  constructor(headMax: number, tailMax: number) {
    this.#headMax = headMax
    this.#tailMax = tailMax
  }

  get cutBytes(): number {
    return this.#cut
  }

  add(chunk: Buffer): void {
    const room = this.#headMax - this.#headSize
    const forHead = chunk.subarray(0, room)
    if (forHead.length > 0) {
      this.#head.push(forHead)
      this.#headSize += forHead.length
    }
    const rest = chunk.subarray(forHead.length)
    if (rest.length === 0) return
    this.#tail.push(rest)
    this.#tailSize += rest.length
    while (this.#tailSize > this.#tailMax) this.#shorten(this.#tailSize - this.#tailMax)
  }

  text(): string {
    const head = Buffer.concat(this.#head).toString('utf8')
    const tail = Buffer.concat(this.#tail).toString('utf8')
    return this.#cut === 0 ? head + tail : `${head}\n[… ${this.#cut} bytes left out …]\n${tail}`
  }

  #shorten(bytes: number): void {
    const first = this.#tail[0] ?? Buffer.alloc(0)
    const drop = Math.min(bytes, first.length)
    if (drop === first.length) this.#tail.shift()
    else this.#tail[0] = Buffer.from(first.subarray(drop))
    this.#tailSize -= drop
    this.#cut += drop
  }
}
