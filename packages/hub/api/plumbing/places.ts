/** How many of the same kind of long answer may be under way at once, over all clients. */
import { AutovibeError } from '@autovibe/contract'

export class Places {
  readonly #most: number
  readonly #what: string
  #taken = 0

  /** `what`, as in "8 differences are being made already". */
  constructor(most: number, what: string) {
    this.#most = most
    this.#what = what
  }

  /** Answers what gives the place back, once. `request.rate_limited` when none is left. */
  take(): () => void {
    if (this.#taken >= this.#most)
      throw new AutovibeError('request.rate_limited', `${this.#most} ${this.#what} already.`, { fix: 'Try again when one has ended.' })
    this.#taken++
    let isTaken = true
    return () => {
      if (isTaken) this.#taken--
      isTaken = false
    }
  }
}
