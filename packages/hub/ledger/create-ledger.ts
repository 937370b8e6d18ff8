/** The ledger over PostgreSQL: budgets change in their callers' transactions, balances through the one writer alone. */
import type { BudgetId, ReservationId } from '@autovibe/contract'
import { availableOf } from '@autovibe/core/budgets/account.ts'
import type pg from 'pg'
import type { Database, Tx } from '../database/database.ts'
import type { Runtime } from '../runtime.ts'
import { audit } from './audit.ts'
import { changeBudget, closeBudget, openBudget } from './budgets.ts'
import { openCap } from './caps.ts'
import { readChain } from './chain.ts'
import { setAside } from './hand-back.ts'
import { chargeJob, expireJob, releaseJob, reserveJob, rollOverJob, settleJob } from './jobs.ts'
import type { Consumption, Ledger } from './ledger.ts'
import { standingOf } from './standing.ts'
import { insertUsage } from './usage-events.ts'
import { Writer } from './writer.ts'

export interface LedgerOptions {
  readonly db: Database
  /** Of the same database. */
  readonly pool: pg.Pool
  readonly runtime: Runtime
}

/** Opens the ledger. Two on one database cannot overspend, since each commit checks the rows themselves, but they slow each other down. */
export function createLedger({ db, pool, runtime }: LedgerOptions): Ledger {
  const writer = new Writer(db, pool, runtime)

  return {
    openBudget: (tx, budget) => openBudget(tx, runtime, budget),
    closeBudget: (tx, budgetId) => closeBudget(tx, runtime, budgetId),
    openCap: (tx, budgetId, cap) => openCap(tx, runtime, budgetId, cap),
    changeBudget: (tx, budgetId, change, ifVersion) => changeBudget(tx, runtime, budgetId, change, ifVersion),
    available: async (budgetId: BudgetId, tx?: Tx) => availableOf(await readChain(tx ?? db, budgetId)),
    standing: async (budgetId: BudgetId, tx?: Tx) => standingOf(await readChain(tx ?? db, budgetId), runtime.now()),
    setAside: (tx, aside) => setAside(tx, runtime, aside),

    reserve: (request) => writer.do(reserveJob(request)),
    settle: (reservationId, consumption) => writer.do(settleJob(reservationId, consumption)),
    release: (reservationId) => writer.do(releaseJob(reservationId)),
    charge: (key, consumption, budgetId) => writer.do(chargeJob(key, consumption, budgetId)),
    record: (tx: Tx, consumption: Consumption, key: string) => insertUsage(tx, runtime, consumption, key),
    audit: () => audit(db, runtime),
    flush: () => writer.flush(),

    async extend(reservationIds: readonly ReservationId[], leaseMs: number): Promise<void> {
      const until = new Date(runtime.now().getTime() + leaseMs)
      await db
        .updateTable('reservations')
        .set((eb) => ({ lease_expires_at: eb.fn<Date>('greatest', ['lease_expires_at', eb.val(until)]) }))
        .where('id', 'in', reservationIds)
        .where('state', '=', 'open')
        .execute()
    },

    async expire(limit: number): Promise<number> {
      const now = runtime.now()
      const lost = await db
        .selectFrom('reservations')
        .select('id')
        .where('state', '=', 'open')
        .where('lease_expires_at', '<=', now)
        .orderBy('lease_expires_at')
        .limit(limit)
        .execute()
      const ended = await Promise.all(lost.map(({ id }) => writer.do(expireJob(id, now))))
      return ended.filter(Boolean).length
    },

    async rollOver(limit: number): Promise<number> {
      const due = await db
        .selectFrom('budgets')
        .select('id')
        .where('closed_at', 'is', null)
        .where('period_ends_at', '<=', runtime.now())
        .orderBy('period_ends_at')
        .limit(limit)
        .execute()
      await Promise.all(due.map(({ id }) => writer.do(rollOverJob(id))))
      return due.length
    },
  }
}
