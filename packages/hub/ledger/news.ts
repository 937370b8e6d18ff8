/** What the writer tells of budgets: thresholds and limits that were reached, bills above their holds, periods that ended. */
import { crossedBy } from '@autovibe/core/budgets/account.ts'
import type { NewEvent } from '../database/events.ts'
import { type Chain, describeLink, subjectOf } from './chain.ts'
import type { Hold, LiveLink } from './known.ts'

/** The threshold, or the limit, that a charge makes this link cross; undefined when it crosses none. */
export function crossing(chain: Chain, link: LiveLink, settledDelta: bigint): NewEvent | undefined {
  const percent = crossedBy(link, settledDelta)
  if (percent === undefined) return undefined
  const data = { ...describeLink(link), settled: (link.settled + settledDelta).toString(), reserved: link.reserved.toString() }
  const subject = subjectOf(chain, link)
  return percent === 100 ? { type: 'budget.exhausted', ...subject, data } : { type: 'budget.threshold', ...subject, data: { ...data, percent } }
}

/** A bill above its hold has frozen the narrowest link. */
export function overrun(chain: Chain, hold: Hold, billed: bigint): NewEvent {
  const [link] = chain
  const figures = { reservation_id: hold.id, held: hold.amount.toString(), billed: billed.toString() }
  return { type: 'budget.changed', ...subjectOf(chain, link), data: { ...describeLink(link), change: 'overrun', overrun: figures } }
}

/** A period has ended with this much settled, and the next has begun. */
export function rollover(chain: Chain, link: LiveLink, settled: bigint, endedAt: Date): NewEvent {
  const periods = { settled: settled.toString(), ended_at: endedAt.toISOString(), period_ends_at: link.periodEndsAt?.toISOString() ?? null }
  return { type: 'budget.changed', ...subjectOf(chain, link), data: { ...describeLink(link), change: 'rollover', ...periods } }
}
