/** Watches the limits between model calls: where one is met that parks, tools under way stand still at once; where one comes near, the agent is told. */
import type { BudgetStatus } from '@autovibe/contract'
import type { Heart } from '../door/heart.ts'
import { log, wordsOf } from '../log.ts'
import { continueAllFamilies, stopAllFamilies } from '../process/family.ts'
import type { Freezer, Gate } from './gate.ts'

/** All that an agent or its tools have started; what the agent itself does in its own process ends by itself. */
const FAMILIES: Freezer = { freeze: async () => stopAllFamilies(), thaw: async () => continueAllFamilies() }

export interface LimitWatchParts {
  readonly heart: Pick<Heart, 'onStatus'>
  readonly gate: Gate
  /** Reports the pause and returns when the Hub says that the work may go on. */
  readonly pause: (reason: string) => Promise<void>
  readonly signal: AbortSignal
}

export class LimitWatch {
  readonly #parts: LimitWatchParts
  readonly #stop: () => void
  #parking: Promise<void> | undefined
  #reached = 0
  #told = 0

  constructor(parts: LimitWatchParts) {
    this.#parts = parts
    this.#stop = parts.heart.onStatus((status) => this.#look(status))
  }

  /** What the agent has not been told of its money, once; null when there is nothing new. */
  takeNotice(): string | null {
    if (this.#reached <= this.#told) return null
    this.#told = this.#reached
    return `${this.#reached} % of the money is used. Finish what matters most first, and leave the project in a state that works.`
  }

  /** Resolves when nothing stands still for it any more. */
  async end(): Promise<void> {
    this.#stop()
    await this.#parking
  }

  #look(status: BudgetStatus): void {
    const { limit_met: met, reached_percent: percent } = status
    // A raised limit makes old warnings new ones.
    this.#reached = percent ?? 0
    this.#told = Math.min(this.#told, this.#reached)
    // An agent that is not in the middle of a tool meets the limit at its next call, and a call under way is paid for.
    if (met?.policy !== 'park' || this.#parking || !this.#parts.gate.isBusy) return
    this.#parking = this.#park(met.sentence).finally(() => {
      this.#parking = undefined
    })
  }

  async #park(reason: string): Promise<void> {
    const { gate, pause, signal } = this.#parts
    try {
      await gate.halt(FAMILIES)
      await pause(reason)
    } catch (error) {
      if (!signal.aborted) log('the pause was not kept', { reason: wordsOf(error) })
    } finally {
      await gate.goOn(FAMILIES, signal).catch((error: unknown) => log('the halt was broken off', { reason: wordsOf(error) }))
    }
  }
}
