/** What the Hub wishes of this machine: the newest whole document, followed by long polling. */
import { DOOR_LIMITS, type Instructions } from '@autovibe/contract'
import { log, wordsOf } from '../log.ts'
import { pause } from './backoff.ts'
import type { Door } from './door.ts'

export class Wishes {
  readonly #door: Pick<Door, 'instructions'>
  #current: Instructions | undefined
  readonly #listeners = new Set<() => void>()

  constructor(door: Pick<Door, 'instructions'>) {
    this.#door = door
  }

  /** The newest document; undefined until the first has come. */
  get current(): Instructions | undefined {
    return this.#current
  }

  /** Takes a document that came on any way; an older one changes nothing. */
  offer(document: Instructions): void {
    if (this.#current && document.revision <= this.#current.revision) return
    this.#current = document
    for (const listener of [...this.#listeners]) listener()
  }

  /** Resolves when there is a document newer than `revision`; rejects with the signal's reason. */
  newerThan(revision: number, signal: AbortSignal): Promise<Instructions> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        if (!signal.aborted && (!this.#current || this.#current.revision <= revision)) return
        this.#listeners.delete(settle)
        signal.removeEventListener('abort', settle)
        if (this.#current && this.#current.revision > revision) resolve(this.#current)
        else reject(signal.reason)
      }
      this.#listeners.add(settle)
      signal.addEventListener('abort', settle)
      settle()
    })
  }

  /** Polls until the signal is aborted; a lost Hub is waited for in the door. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const after = this.#current?.revision ?? 0
        this.offer(await this.#door.instructions(after, this.#current ? DOOR_LIMITS.longPollSeconds : 0, signal))
      } catch (error) {
        if (signal.aborted) return
        log('the instructions were not understood', { reason: wordsOf(error) })
        await pause(1_000, signal).catch(() => undefined)
      }
    }
  }
}
