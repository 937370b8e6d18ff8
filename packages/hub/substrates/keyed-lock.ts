/** One thing at a time for each key, in the order asked for. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>()

  /** Runs `work` when everything asked for earlier under this key has ended. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const { promise: done, resolve } = Promise.withResolvers<void>()
    const tail = before.then(() => done)
    this.#tails.set(key, tail)
    await before
    try {
      return await work()
    } finally {
      resolve()
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }
}
