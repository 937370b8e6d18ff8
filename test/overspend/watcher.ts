/** Looks at the provider's bill and at the budgets all the time while the race is run, and raises what is nearly used up, as a person would, so that money is always short and never gone. */
import { setTimeout as delay } from 'node:timers/promises'
import { between } from '../support/chance.ts'
import type { Raise } from './gateway-process.ts'
import { faultsOf, faultsUnderWay } from './invariants.ts'
import type { BillSoFar } from './provider-bill.ts'
import type { BudgetRow } from './world.ts'

const LOOK_EVERY_MS = 50
/** Nano-US-dollars: what is left of a limit when somebody raises it. The narrowest is enough for any one call, none for all that want to be made at once. */
const CUSHION: Readonly<Record<BudgetRow['scope'], number>> = { organisation: 900_000_000, project: 600_000_000, machine: 150_000_000, run: 80_000_000 }

export interface Watched {
  bill(): Promise<BillSoFar>
  budgets(): Promise<BudgetRow[]>
  /** Resolves when the limit is raised; rejects when nobody was there to do it. */
  raise(raise: Raise): Promise<void>
  /** Which gateway is there; null while there is none, and the holds of the dead may be settled under the provider's hands. */
  gateway(): number | null
  readonly chance: () => number
}

export class Watcher {
  readonly #watched: Watched
  #waiting: (() => void)[] = []
  #stopped = false
  looks = 0
  /** How often a call under way was found to be held, or not. */
  seenUnderWay = 0
  /** What was seen wrong; empty when money was never overspent. */
  readonly faults: string[] = []

  constructor(watched: Watched) {
    this.#watched = watched
  }

  /** Resolves after the next look and what it raised. */
  look(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  stop(): void {
    this.#stopped = true
  }

  /** Until it is stopped. */
  async watch(): Promise<void> {
    while (!this.#stopped) {
      const waiting = this.#waiting
      this.#waiting = []
      const gateway = this.#watched.gateway()
      // In this order: what was billed before must be held or settled by now, what is under way before and after was held in between. No limit is lowered.
      const before = await this.#watched.bill()
      const budgets = await this.#watched.budgets()
      const after = await this.#watched.bill()
      this.looks++
      this.faults.push(...faultsOf(budgets, before.totals))
      if (gateway !== null && gateway === this.#watched.gateway()) {
        const both = [...before.underWay].filter(([call]) => after.underWay.has(call)).map(([, bill]) => bill)
        this.seenUnderWay += both.length
        this.faults.push(...faultsUnderWay(budgets, both))
      }
      await Promise.all(budgets.map((budget) => this.#top(budget)))
      for (const resolve of waiting) resolve()
      await delay(LOOK_EVERY_MS)
    }
    for (const resolve of this.#waiting) resolve()
  }

  async #top({ id, scope, limit, settled, version }: BudgetRow): Promise<void> {
    const cushion = CUSHION[scope]
    if (limit - settled >= BigInt(cushion)) return
    const raised = settled + BigInt(between(this.#watched.chance, cushion, cushion * 2))
    // A gateway that was killed just now raises nothing; the next look tries again.
    await this.#watched.raise({ budgetId: id, limit: raised, version }).catch(() => undefined)
  }
}
