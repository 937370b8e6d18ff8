/** Results of work that ends in any order, given one after the other in the order in which it began. For one reader. */

export class InOrder<T> implements AsyncIterable<T> {
  /** Those that came before one in front of them. */
  readonly #early = new Map<number, T>()
  #ready: T[] = []
  /** The slot that follows those that are ready. */
  #next = 0
  #end: { readonly error: unknown } | 'sound' | null = null
  #wake: () => void = () => undefined

  /** Slots are numbers from 0; each comes once. */
  put(slot: number, value: T): void {
    this.#early.set(slot, value)
    for (; this.#early.has(this.#next); this.#next++) {
      this.#ready.push(this.#early.get(this.#next) as T)
      this.#early.delete(this.#next)
    }
    if (this.#ready.length > 0) this.#wake()
  }

  /** Nothing more comes. */
  end(): void {
    this.#end ??= 'sound'
    this.#wake()
  }

  /** The reader hears of it before anything that it has not got yet. */
  fail(error: unknown): void {
    this.#end ??= { error }
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      if (this.#end !== null && this.#end !== 'sound') throw this.#end.error
      const ready = this.#ready
      this.#ready = []
      yield* ready
      if (this.#ready.length > 0 || (this.#end !== null && this.#end !== 'sound')) continue
      if (this.#end === 'sound') return
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      await promise
    }
  }
}
