/** At most so many at once, the rest in order of arrival, and no more than so many waiting. */
import { AutovibeError } from '@autovibe/contract'

export class Slots {
  readonly #most: number
  readonly #mostWaiting: number
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(most: number, mostWaiting: number) {
    this.#most = most
    this.#mostWaiting = mostWaiting
  }

  /** Runs `work` when it is its turn; rejects when too many wait already, or with the signal's reason. */
  async within<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    await this.#take(signal)
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      // The slot is handed on, so that nobody who comes now is served first.
      if (next) next()
      else this.#taken -= 1
    }
  }

  async #take(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (this.#taken < this.#most) {
      this.#taken += 1
      return
    }
    if (this.#waiting.length >= this.#mostWaiting)
      throw new AutovibeError('substrate.unavailable', `${this.#mostWaiting} requests wait for Proxmox already.`, { fix: 'Start fewer machines at once.' })
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1)
        reject(signal?.reason)
      }
      const enter = (): void => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.#waiting.push(enter)
    })
  }
}
