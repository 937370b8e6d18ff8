/** The gate between an agent and its machine's files: whoever writes is inside; whoever needs quiet holds it shut until all are out. */

/** What stops and continues an agent that does not ask before it works, such as a foreign process. */
export interface Freezer {
  freeze(): Promise<void>
  thaw(): Promise<void>
}

export class Gate {
  #inside = 0
  #holders = 0
  #freezer: Freezer | undefined
  #frozen = false
  /** Whoever is inside stands still, and counts as out. */
  #isStill = false
  /** Freezing and thawing happen one after the other, whatever order they were asked in. */
  #turn: Promise<void> = Promise.resolve()
  readonly #waiting = new Set<() => void>()

  get held(): boolean {
    return this.#holders > 0
  }

  /** Somebody is inside, and does not stand still. */
  get isBusy(): boolean {
    return this.#inside > 0 && !this.#isStill
  }

  /** Waits until nobody holds the gate. Rejects with the signal's reason. */
  async pass(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.#holders === 0 && !this.#frozen, signal)
  }

  /** Goes inside once nobody holds the gate; `leave` must follow. Rejects with the signal's reason, and then nobody is inside. */
  async enter(signal: AbortSignal): Promise<void> {
    await this.pass(signal)
    this.#inside++
  }

  /** Is inside from now on, whether the gate is held or not: for an agent that has already begun. */
  occupy(): void {
    this.#inside++
  }

  leave(): void {
    if (this.#inside === 0) throw new RangeError('nobody is inside the gate')
    this.#inside--
    this.#wake()
  }

  /** Shuts the gate and waits until all are out and frozen; `release` must follow, even when this rejects. */
  async hold(signal: AbortSignal): Promise<void> {
    this.#holders++
    await this.#until(() => this.#isEmpty, signal)
    await this.#settle()
  }

  /** Shuts the gate at once and makes those inside stand still; `goOn` must follow, even when this rejects. One at a time. */
  async halt(still: Freezer): Promise<void> {
    this.#holders++
    await still.freeze()
    this.#isStill = true
    this.#wake()
  }

  /** Ends a halt once nobody else holds the gate, because those inside then write again. Rejects with the signal's reason, and then the halt is over all the same. */
  async goOn(still: Freezer, signal: AbortSignal): Promise<void> {
    try {
      await this.#until(() => this.#holders === 1, signal)
    } finally {
      this.#isStill = false
      await still.thaw()
      await this.release()
    }
  }

  async release(): Promise<void> {
    if (this.#holders === 0) throw new RangeError('nobody holds the gate')
    this.#holders--
    await this.#settle()
    this.#wake()
  }

  /** From now on holding the gate freezes this too. One at a time. */
  attach(freezer: Freezer): void {
    this.#freezer = freezer
  }

  detach(): void {
    this.#freezer = undefined
    this.#frozen = false
    this.#wake()
  }

  get #isEmpty(): boolean {
    return this.#inside === 0 || this.#isStill
  }

  #settle(): Promise<void> {
    this.#turn = this.#turn.then(async () => {
      const want = this.#holders > 0 && this.#isEmpty
      if (want === this.#frozen || !this.#freezer) return
      if (want) await this.#freezer.freeze()
      else await this.#freezer.thaw()
      this.#frozen = want
    })
    return this.#turn
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look()
  }

  #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!signal.aborted && !condition()) return
        this.#waiting.delete(look)
        signal.removeEventListener('abort', look)
        if (signal.aborted) reject(signal.reason)
        else resolve()
      }
      this.#waiting.add(look)
      signal.addEventListener('abort', look)
      look()
    })
  }
}
