/** The rows of a batch, in the forms that `commit_ledger_batch` reads. */
import type { BudgetId } from '@autovibe/contract'
import { chainOf } from './chain.ts'
import type { Hold, LiveLink } from './known.ts'

/** What a batch does to one link, all in all. */
export interface Movement {
  readonly link: LiveLink
  reserved: bigint
  settled: bigint
  holds: boolean
  freeze: boolean
  /** The end of the period that was ended. */
  rollsFrom: Date | null
}

/** How a reservation ends. */
export interface Ended {
  readonly hold: Hold
  readonly settledAmount: bigint | null
  /** Only if its lease ran out before then. */
  readonly leaseBefore: Date | null
}

/** Narrowest first, the order in which everyone locks. */
export function balanceRows(movements: Iterable<Movement>, links: ReadonlyMap<BudgetId, LiveLink>) {
  const depthOf = (link: LiveLink) => chainOf(links, link.id).length
  return [...movements]
    .sort((a, b) => depthOf(b.link) - depthOf(a.link) || (a.link.id < b.link.id ? -1 : 1))
    .map(({ link, reserved, settled, holds, freeze, rollsFrom }, n) => ({
      n,
      id: link.id,
      version: link.version.toString(),
      reserved: reserved.toString(),
      settled: settled.toString(),
      freezes: freeze,
      // A bill above its hold may have passed the limit after a hold of this batch was let in.
      holds: holds && link.settled + link.reserved <= link.limit,
      rolls_from: rollsFrom,
      rolls_to: rollsFrom && link.periodEndsAt,
      settled_before: rollsFrom && (link.settled - settled).toString(),
    }))
}

export const holdRow = (hold: Hold) => ({
  id: hold.id,
  budget_ids: hold.budgetIds,
  key: hold.key,
  holder: hold.holder,
  amount: hold.amount.toString(),
  lease_expires_at: hold.leaseExpiresAt,
  project_id: hold.subject?.projectId ?? null,
  machine_id: hold.subject?.machineId ?? null,
  run_id: hold.subject?.runId ?? null,
})

export const endRow = ({ hold, settledAmount, leaseBefore }: Ended) => ({
  id: hold.id,
  state: hold.state,
  settled_amount: settledAmount?.toString() ?? null,
  lease_before: leaseBefore,
})
