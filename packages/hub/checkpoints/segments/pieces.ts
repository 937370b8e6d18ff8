/**
 * Buffers of one size that are used again. What is allocated in megabytes and let go of soon stays with the process: the allocator keeps it for the next one, in holes that do not fit, and the
 * garbage collector learns late that it is free.
 */

export class Pool {
  readonly #bytesEach: number
  readonly #keptMax: number
  readonly #free: Buffer[] = []

  constructor(bytesEach: number, keptMax: number) {
    this.#bytesEach = bytesEach
    this.#keptMax = keptMax
  }

  /** With anything in it. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytesEach)
  }

  /** From now on nobody else may look at it. */
  giveBack(buffer: Buffer): void {
    if (this.#free.length < this.#keptMax) this.#free.push(buffer)
  }
}

/** Bytes that grow at their end, in buffers of a pool. */
export class Pieces {
  readonly #pool: Pool
  readonly #full: Buffer[] = []
  #last: Buffer | null = null
  #lastBytes = 0
  #bytes = 0

  constructor(pool: Pool) {
    this.#pool = pool
  }

  get bytes(): number {
    return this.#bytes
  }

  add(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      this.#last ??= this.#pool.take()
      const part = bytes.subarray(from, from + this.#last.length - this.#lastBytes)
      this.#last.set(part, this.#lastBytes)
      this.#lastBytes += part.length
      this.#bytes += part.length
      from += part.length
      if (this.#lastBytes < this.#last.length) continue
      this.#full.push(this.#last)
      this.#last = null
      this.#lastBytes = 0
    }
  }

  /** All of it, in order; valid until it is given back. */
  parts(): readonly Buffer[] {
    return this.#last === null ? this.#full : [...this.#full, this.#last.subarray(0, this.#lastBytes)]
  }

  giveBack(): void {
    for (const piece of this.#full.splice(0)) this.#pool.giveBack(piece)
    if (this.#last !== null) this.#pool.giveBack(this.#last)
    this.#last = null
    this.#lastBytes = 0
    this.#bytes = 0
  }
}
