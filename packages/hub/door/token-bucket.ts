/** A token bucket: so much at once, and so much more every second. It has no clock of its own. */

export interface BucketLimits {
  readonly perSecond: number
  /** What a bucket holds when it is full, and the most that may be taken at once. */
  readonly burst: number
}

export class TokenBucket {
  readonly #limits: BucketLimits
  #level: number
  #atMs: number

  constructor(limits: BucketLimits, nowMs: number) {
    this.#limits = limits
    this.#level = limits.burst
    this.#atMs = nowMs
  }

  /** Takes so many and answers 0, or takes nothing and answers the milliseconds until there will be as many. More than the burst counts as the burst. */
  take(amount: number, nowMs: number): number {
    this.#refill(nowMs)
    const wanted = Math.min(amount, this.#limits.burst)
    if (wanted > this.#level) return ((wanted - this.#level) / this.#limits.perSecond) * 1000
    this.#level -= wanted
    return 0
  }

  /** As if so many had not been taken. */
  giveBack(amount: number): void {
    this.#level = Math.min(this.#limits.burst, this.#level + amount)
  }

  /** Whether it is like a new one, so that nothing is lost with it. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs)
    return this.#level >= this.#limits.burst
  }

  #refill(nowMs: number): void {
    // A clock that was set back gives nothing and takes nothing.
    const elapsedMs = Math.max(0, nowMs - this.#atMs)
    this.#atMs = nowMs
    this.#level = Math.min(this.#limits.burst, this.#level + (elapsedMs / 1000) * this.#limits.perSecond)
  }
}
