/** The heartbeat: says that the machine lives and whether it is quiet, and brings back what is left of the budget. */

import process from 'node:process'
import type { BudgetStatus } from '@autovibe/contract'
import { log, wordsOf } from '../log.ts'
import type { Door } from './door.ts'

export class Heart {
  readonly #door: Pick<Door, 'heartbeat'>
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #beating: Promise<void> | undefined
  #quiet = false
  #status: BudgetStatus | undefined
  #wasLost = false
  readonly #listeners = new Set<(status: BudgetStatus) => void>()

  constructor(door: Pick<Door, 'heartbeat'>) {
    this.#door = door
  }

  /** The newest status that any answer brought. */
  get status(): BudgetStatus | undefined {
    return this.#status
  }

  learn(status: BudgetStatus): void {
    this.#status = status
    for (const listener of [...this.#listeners]) listener(status)
  }

  /** Calls the listener with every status from now on, until the returned function is called. */
  onStatus(listener: (status: BudgetStatus) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  start(everyMs: number): void {
    this.#timer = setInterval(() => void this.#beat(), everyMs)
    void this.#beat()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#stopping.abort()
  }

  /** Nothing of the machine writes from now on: the Hub is told at once. */
  async sayQuiet(): Promise<void> {
    this.#quiet = true
    await this.#beating
    await this.#beat()
  }

  /** Ends the quiet. Waits for a heartbeat under way, so that no late one says quiet of a machine that writes again. */
  async endQuiet(): Promise<void> {
    this.#quiet = false
    await this.#beating
  }

  /** A status that was asked for just now, or the last known one while the Hub is away. */
  async freshStatus(): Promise<BudgetStatus | undefined> {
    await this.#beating
    await this.#beat()
    return this.#status
  }

  #beat(): Promise<void> {
    this.#beating ??= this.#beatOnce().finally(() => {
      this.#beating = undefined
    })
    return this.#beating
  }

  async #beatOnce(): Promise<void> {
    try {
      this.learn(await this.#door.heartbeat(this.#quiet, process.memoryUsage.rss(), this.#stopping.signal))
      this.#wasLost = false
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      if (!this.#wasLost) log('a heartbeat was lost', { reason: wordsOf(error) })
      this.#wasLost = true
    }
  }
}
