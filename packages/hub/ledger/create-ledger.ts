/** The ledger over PostgreSQL: every change is one transaction that holds the locks of the whole chain, narrowest budget first. */
import { AutovibeError, type BudgetId, type ReservationId, type UsageEventId } from '@autovibe/contract'
import type { Database, Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import type { Runtime } from '../runtime.ts'
import { closeBudget, openBudget, setLimit } from './budgets.ts'
import { availableOf, readChain } from './chain.ts'
import type { Consumption, Ledger, Reservation, Reserve } from './ledger.ts'
import { exhaustion, holdAmount } from './reserve.ts'
import { expireOne, recordUnheld, releaseHold, settleHold } from './settle.ts'

export interface LedgerOptions {
  readonly db: Database
  readonly runtime: Runtime
}

/** Opens the ledger. It keeps no balances of its own, so several may work on one database. */
export function createLedger({ db, runtime }: LedgerOptions): Ledger {
  const told = new RecentKeys()

  return {
    openBudget: (tx, budget) => openBudget(tx, runtime, budget),
    closeBudget: (tx, budgetId) => closeBudget(tx, runtime, budgetId),
    setLimit: (tx, budgetId, limit, ifVersion) => setLimit(tx, runtime, budgetId, limit, ifVersion),

    async available(budgetId: BudgetId, tx?: Tx): Promise<bigint> {
      return availableOf(await readChain(tx ?? db, budgetId))
    },

    async reserve(request: Reserve): Promise<Reservation> {
      const toldKeys: string[] = []
      try {
        const outcome = await transactionWithRetry(db, async (tx) => {
          const outcome = await holdAmount(tx, runtime, request)
          if (outcome.kind === 'held' || !outcome.exhausted) return outcome
          // One event for each limit that was reached, however often a machine knocks.
          const { event, key } = exhaustion(outcome.exhausted)
          if (told.has(key) && !toldKeys.includes(key)) return outcome
          told.add(key)
          toldKeys.push(key)
          await recordEvent(tx, runtime, event)
          return outcome
        })
        if (outcome.kind === 'refused') throw outcome.error
        return outcome.reservation
      } catch (error) {
        // What did not commit was not told.
        if (!(error instanceof AutovibeError)) for (const key of toldKeys) told.delete(key)
        throw error
      }
    },

    settle: (reservationId: ReservationId, consumption: Consumption): Promise<UsageEventId> =>
      transactionWithRetry(db, (tx) => settleHold(tx, runtime, reservationId, consumption)),

    release: (reservationId: ReservationId): Promise<void> => transactionWithRetry(db, (tx) => releaseHold(tx, runtime, reservationId)),

    async extend(reservationId: ReservationId, leaseMs: number): Promise<void> {
      const until = new Date(runtime.now().getTime() + leaseMs)
      await db
        .updateTable('reservations')
        .set((eb) => ({ lease_expires_at: eb.fn<Date>('greatest', ['lease_expires_at', eb.val(until)]) }))
        .where('id', '=', reservationId)
        .where('state', '=', 'open')
        .execute()
    },

    async expire(limit: number): Promise<number> {
      for (let expired = 0; expired < limit; expired++) {
        if (!(await transactionWithRetry(db, (tx) => expireOne(tx, runtime)))) return expired
      }
      return limit
    },

    record: (tx: Tx, consumption: Consumption, budgetId: BudgetId | null): Promise<UsageEventId> => recordUnheld(tx, runtime, consumption, budgetId),
  }
}

/** Limits whose exhaustion is remembered as told; beyond it the oldest may be told again. */
const MAX_REMEMBERED = 10_000

class RecentKeys {
  readonly #keys = new Set<string>()

  has(key: string): boolean {
    return this.#keys.has(key)
  }

  delete(key: string): void {
    this.#keys.delete(key)
  }

  add(key: string): void {
    const oldest = this.#keys.values().next()
    if (this.#keys.size >= MAX_REMEMBERED && !oldest.done) this.#keys.delete(oldest.value)
    this.#keys.add(key)
  }
}
