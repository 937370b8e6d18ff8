/** What decisions stand on: links and reservations as the writer knows them. */
import type { BudgetId, ReservationId, RunId, UsageEventId } from '@autovibe/contract'
import type { Link } from './chain.ts'
import type { Subject } from './ledger.ts'

/** A link whose balances the decisions of the writer move. */
export interface LiveLink extends Link {
  settled: bigint
  reserved: bigint
  version: bigint
  isFrozen: boolean
  periodEndsAt: Date | null
}

/** A reservation as a decision sees it. */
export interface Hold {
  readonly id: ReservationId
  readonly budgetIds: readonly [BudgetId, ...BudgetId[]]
  readonly key: string
  readonly holder: string
  readonly amount: bigint
  readonly subject: Subject | null
  readonly leaseExpiresAt: Date
  state: 'open' | 'settled' | 'released'
  /** What stands for its settlement. */
  usageEventId: UsageEventId | null
}

export interface AskedHold {
  readonly key: string
  readonly holder: string
  readonly amount: bigint
  readonly subject: Subject | null
  readonly leaseMs: number
}

/** What is known when a batch is decided; the links are moved by the decisions. */
export interface Known {
  readonly links: ReadonlyMap<BudgetId, LiveLink>
  readonly holds: ReadonlyMap<ReservationId, Hold>
  readonly keys: Map<string, Hold>
  /** What is open of what runs have set aside. */
  readonly handBacks: Map<RunId, Hold>
  /** What was told before and is not told again. */
  readonly told: ReadonlySet<string>
  /** Everything was just read: a refusal may be given. */
  readonly isFresh: boolean
}
