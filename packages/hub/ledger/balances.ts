/** The one place that moves balances: every link of a locked chain by the same amounts, with one appended ledger row each. */
import type { ReservationId, UsageEventId } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import { type NewEvent, recordEvents } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'
import { type Chain, describeLink, type Link, subjectOf } from './chain.ts'

export interface BalanceChange {
  readonly kind: 'reserve' | 'settle' | 'release'
  readonly reservationId: ReservationId
  readonly usageEventId: UsageEventId | null
  /** Signed, in the unit of the resource. */
  readonly reservedDelta: bigint
  readonly settledDelta: bigint
}

const THRESHOLDS_PERCENT = [80n, 95n] as const

/** Applies a change to a chain that this transaction has locked, and tells of each threshold that it crosses. */
export async function changeBalances(tx: Tx, runtime: Runtime, chain: Chain, change: BalanceChange): Promise<void> {
  await tx
    .updateTable('budgets')
    .set((eb) => ({ reserved: eb('reserved', '+', change.reservedDelta), settled: eb('settled', '+', change.settledDelta) }))
    .where(
      'id',
      'in',
      chain.map((link) => link.id),
    )
    .execute()
  await tx
    .insertInto('ledger_entries')
    .values(
      chain.map((link) => ({
        budget_id: link.id,
        reservation_id: change.reservationId,
        usage_event_id: change.usageEventId,
        kind: change.kind,
        reserved_delta: change.reservedDelta,
        settled_delta: change.settledDelta,
        at: runtime.now(),
      })),
    )
    .execute()
  await recordEvents(
    tx,
    runtime,
    chain.flatMap((link) => crossings(chain, link, change)),
  )
}

/** What has crossed a threshold of its limit by this change; the highest only. */
function crossings(chain: Chain, link: Link, change: BalanceChange): NewEvent[] {
  if (change.settledDelta === 0n || link.limit === 0n) return []
  const settled = link.settled + change.settledDelta
  const crossed = (percent: bigint) => link.settled * 100n < link.limit * percent && settled * 100n >= link.limit * percent
  const data = { ...describeLink(link), settled: settled.toString(), reserved: (link.reserved + change.reservedDelta).toString() }
  if (crossed(100n)) return [{ type: 'budget.exhausted', ...subjectOf(chain, link), data }]
  const percent = THRESHOLDS_PERCENT.findLast(crossed)
  return percent === undefined ? [] : [{ type: 'budget.threshold', ...subjectOf(chain, link), data: { ...data, percent: Number(percent) } }]
}
