/** The port to the ledger, and the words of its callers. Amounts are `bigint` in the resource's own unit (money: nano-US-dollars). */
import type {
  BudgetId,
  BudgetPeriod,
  BudgetPolicy,
  BudgetScope,
  Json,
  LedgerAudit,
  MachineId,
  ProjectId,
  ReservationId,
  Resource,
  RunId,
  TokenCounts,
  UsageEventId,
} from '@autovibe/contract'
import { AutovibeError, type ErrorCode, type ErrorOptions } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'

/** What may be set on a budget besides its limit; what is not given stays as it is. */
export interface BudgetSettings {
  /** Percents of the limit at which people are told, ascending. */
  readonly thresholds?: readonly number[] | undefined
  readonly policy?: BudgetPolicy | undefined
  /** How much of what is left above the scope may be taken at once, in millionths; of all the scope's budgets of the resource. */
  readonly sharePpm?: bigint | undefined
}

export interface OpenBudget extends BudgetSettings {
  readonly scope: BudgetScope
  readonly scopeId: string
  readonly parentId: BudgetId | null
  readonly resource: Resource
  readonly limit: bigint
}

/** A cap for a period, besides the budget that a scope has for all its time. */
export interface OpenCap extends BudgetSettings {
  readonly period: Exclude<BudgetPeriod, 'total'>
  readonly limit: bigint
}

export interface BudgetChange extends BudgetSettings {
  /** Setting it thaws a frozen budget. */
  readonly limit?: bigint | undefined
}

/** Whose work it is. */
export interface Subject {
  readonly projectId: ProjectId
  readonly machineId: MachineId | null
  readonly runId: RunId | null
}

/** A limit that is met. */
export interface MetLimit {
  readonly budgetId: BudgetId
  readonly policy: BudgetPolicy
  /** For a person to read; it names the budget. */
  readonly sentence: string
}

/** How a budget stands, with all above it. */
export interface Standing {
  readonly available: bigint
  /** The narrowest limit that is met, whatever used it up; null while there is something left. */
  readonly met: MetLimit | null
  /** The highest threshold that was reached anywhere, in percent. */
  readonly reachedPercent: number | null
  /** The command that raises the limit which is met, or else the one that leaves the least. */
  readonly raise: string
}

export interface Reserve {
  /** Says the same thing twice at most: a repeat with this key gives the first answer. */
  readonly key: string
  readonly budgetId: BudgetId
  /** How much, or how much of what is available at the moment of the decision; more than that is refused. */
  readonly amount: bigint | ((available: bigint) => bigint)
  /** Who holds it, for a person to read ("gateway mch_…", "operation opr_…"). */
  readonly holder: string
  /** Whom the charge concerns if the holder dies; null when nobody in particular. */
  readonly subject: Subject | null
  readonly leaseMs: number
  /** Takes it out of what is set aside for handing back this run's work, which is then all that is available. */
  readonly handBackOf?: RunId | undefined
}

export interface Reservation {
  readonly id: ReservationId
  readonly budgetId: BudgetId
  readonly amount: bigint
}

/** What shall be kept of a run's budget for handing its work back. */
export interface SetAside {
  readonly budgetId: BudgetId
  readonly subject: Subject & { readonly runId: RunId }
  readonly amount: bigint
}

/** What was consumed, as it stands in `usage_events`. */
export interface Consumption extends Subject {
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

/** Why nothing was reserved: `budget.exhausted` when nothing is left, `budget.insufficient` when less than was asked for. */
export class BudgetRefusal extends AutovibeError {
  /** True when the amount would fit if open reservations came back: asking again may help. */
  readonly isHeldByOthers: boolean
  /** What shall happen to a run at the limit that stands in the way; null where nobody has said it. */
  readonly policy: BudgetPolicy | null

  constructor(
    code: Extract<ErrorCode, `budget.${string}`>,
    message: string,
    options: ErrorOptions & { readonly isHeldByOthers: boolean; readonly policy?: BudgetPolicy },
  ) {
    super(code, message, options)
    this.isHeldByOthers = options.isHeldByOthers
    this.policy = options.policy ?? null
  }
}

export interface Ledger {
  /** Opens a budget in the caller's transaction; an open one of the same scope and resource is returned as it is. */
  openBudget(tx: Tx, budget: OpenBudget): Promise<BudgetId>
  /**
   * Opens a cap for a period right above the budget that its scope has for all its time, so that everything beneath that budget comes under it; it starts
   * at zero, because what is held by then keeps its links. `conflict.name_taken` when the scope has one of that period.
   */
  openCap(tx: Tx, budgetId: BudgetId, cap: OpenCap): Promise<BudgetId>
  /** Closes a budget in the caller's transaction: nothing can be reserved from it or below it any more. Closing twice is no error. */
  closeBudget(tx: Tx, budgetId: BudgetId): Promise<void>
  /** Changes a budget in the caller's transaction; `ifVersion` is the ETag (`request.precondition_failed` when it is another). */
  changeBudget(tx: Tx, budgetId: BudgetId, change: BudgetChange, ifVersion: bigint): Promise<void>
  /** What may still be reserved from it: the least of `limit - settled - reserved` along its chain (zero when a link is closed or overdrawn). In a transaction, pass it: it sees its own changes and takes no second connection. */
  available(budgetId: BudgetId, tx?: Tx): Promise<bigint>
  /** The same, with the limit that is met, if one is, and the thresholds that were reached. */
  standing(budgetId: BudgetId, tx?: Tx): Promise<Standing>
  /**
   * Holds an amount, or as much of it as there is (half of that when something is kept already), in the caller's transaction, that nothing but `handBackOf` can spend; what is kept for the run already counts, and
   * is never made less. It has no lease, since its owner is the run: whoever ends that releases it.
   */
  setAside(tx: Tx, aside: SetAside): Promise<void>
  /** Holds an amount on every link of the chain, committed before it resolves, or rejects with a `BudgetRefusal` and holds nothing. Never call it in a transaction that has changed a budget. */
  reserve(request: Reserve): Promise<Reservation>
  /**
   * Turns a hold into what was really used, writes the usage event, and gives the rest back; resolves when that is committed. A second settle changes nothing.
   * A bill above its hold is posted in full, since it was billed, and freezes the budget with an alarm.
   */
  settle(reservationId: ReservationId, consumption: Consumption): Promise<UsageEventId>
  /** Gives a hold back whole, for work that is known not to have been billed. Releasing what has ended changes nothing. */
  release(reservationId: ReservationId): Promise<void>
  /** Moves leases forward; never back. */
  extend(reservationIds: readonly ReservationId[], leaseMs: number): Promise<void>
  /** Settles open holds whose lease ran out at their full amount, as `estimated`: the work may have been billed. At most `limit`; returns how many. */
  expire(limit: number): Promise<number>
  /** Begins the next period of budgets whose period has ended; at most `limit`, returns how many. Whatever is decided on one begins it at once, too. */
  rollOver(limit: number): Promise<number>
  /** Charges a consumption that nobody held anything for, which may pass the limit: it has happened. A repeat with this key gives the first answer. */
  charge(key: string, consumption: Consumption, budgetId: BudgetId): Promise<UsageEventId>
  /** Records in the caller's transaction a consumption that no budget caps; one of this key was recorded before, so nothing is. */
  record(tx: Tx, consumption: Consumption, key: string): Promise<void>
  /** Recomputes every balance from the rows and looks for what does not agree, all of one moment, while the ledger is in use. What it finds is told. */
  audit(): Promise<LedgerAudit>
  /** Resolves when everything that was asked for before is committed. */
  flush(): Promise<void>
}
