/** How much may be under way at once: whoever adds more waits until there is room. */

export class Load {
  readonly #most: number
  #now = 0
  #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#most = most
  }

  /** Takes note of work that never rejects; resolves when there is room for more. */
  async add(weight: number, work: Promise<void>): Promise<void> {
    this.#now += weight
    void work.then(() => {
      this.#now -= weight
      const waiting = this.#waiting
      this.#waiting = []
      for (const look of waiting) look()
    })
    while (this.#now >= this.#most) await this.#change()
  }

  /** Resolves when nothing is under way. */
  async ended(): Promise<void> {
    while (this.#now > 0) await this.#change()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}
