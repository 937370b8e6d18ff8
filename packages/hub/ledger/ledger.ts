/** The port to the ledger, and the words of its callers. Amounts are `bigint` in the resource's own unit (money: nano-US-dollars). */
import type { BudgetId, BudgetScope, Json, MachineId, ProjectId, ReservationId, Resource, RunId, TokenCounts, UsageEventId } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'

export interface OpenBudget {
  readonly scope: BudgetScope
  readonly scopeId: string
  readonly parentId: BudgetId | null
  readonly resource: Resource
  readonly limit: bigint
}

export interface Reserve {
  /** Says the same thing twice at most: a repeat with this key gives the first answer. */
  readonly key: string
  readonly budgetId: BudgetId
  readonly amount: bigint
  /** Who holds it, for a person to read ("gateway mch_…", "operation opr_…"). */
  readonly holder: string
  readonly leaseMs: number
}

export interface Reservation {
  readonly id: ReservationId
  readonly budgetId: BudgetId
  readonly amount: bigint
}

/** What was consumed, as it stands in `usage_events`. */
export interface Consumption {
  readonly projectId: ProjectId
  readonly machineId: MachineId | null
  readonly runId: RunId | null
  readonly resource: Resource
  readonly amount: bigint
  readonly quality: 'measured' | 'estimated'
  readonly provider?: string
  readonly model?: string
  readonly messageId?: string | null
  readonly tokens?: TokenCounts
  readonly cost: bigint
  readonly priceVersion?: string
  readonly firstByteMs?: number | null
  readonly totalMs?: number
  readonly detail?: Record<string, Json>
}

export interface Ledger {
  /** Opens a budget in the caller's transaction; an open one of the same scope and resource is returned as it is. */
  openBudget(tx: Tx, budget: OpenBudget): Promise<BudgetId>
  /** Closes a budget in the caller's transaction: nothing can be reserved from it or below it any more. Closing twice is no error. */
  closeBudget(tx: Tx, budgetId: BudgetId): Promise<void>
  /** Changes a limit in the caller's transaction; `ifVersion` is the ETag (`request.precondition_failed` when it is another). */
  setLimit(tx: Tx, budgetId: BudgetId, limit: bigint, ifVersion: bigint): Promise<void>
  /** What may still be reserved from it: the least of `limit - settled - reserved` along its chain (zero when a link is closed or overdrawn). In a transaction, pass it: it sees its own changes and takes no second connection. */
  available(budgetId: BudgetId, tx?: Tx): Promise<bigint>
  /**
   * Holds an amount on every link of the chain, committed before it returns, or throws `budget.insufficient` (or `budget.exhausted` when nothing is left)
   * and holds nothing.
   */
  reserve(request: Reserve): Promise<Reservation>
  /** Turns a hold into what was really used, which is at most the hold, writes the usage event, and gives the rest back. A second settle changes nothing. */
  settle(reservationId: ReservationId, consumption: Consumption): Promise<UsageEventId>
  /** Gives a hold back whole, for work that is known not to have been billed. Releasing what has ended changes nothing. */
  release(reservationId: ReservationId): Promise<void>
  /** Moves a lease forward. */
  extend(reservationId: ReservationId, leaseMs: number): Promise<void>
  /** Settles every open hold whose lease ran out at its full amount, as `estimated`: the work may have been billed. Returns how many. */
  expire(limit: number): Promise<number>
  /** Records a consumption that nobody held anything for (resources a machine reports after the fact). */
  record(tx: Tx, consumption: Consumption, budgetId: BudgetId | null): Promise<UsageEventId>
}
