/** What the ledger decides about a chain of budgets: how much is left, who is in the way, which threshold a charge crosses. */
import { least } from './extremes.ts'

/** One budget as a decision sees it; amounts in the unit of its resource. */
export interface Account {
  readonly limit: bigint
  readonly settled: bigint
  readonly reserved: bigint
  /** What of `reserved` is kept for handing work back, and so does not come back while runs go on. */
  readonly setAside: bigint
  /** Nothing may be reserved any more, or until somebody has looked at it. */
  readonly isClosed: boolean
  readonly isFrozen: boolean
  /** How much of what is left at its parent it may take at once, in millionths. */
  readonly sharePpm: bigint
  /** Percents of the limit at which people want to be told, ascending. */
  readonly thresholds: readonly number[]
}

/** From the narrowest link to the root; at least one. */
export type Links<A extends Account = Account> = readonly [A, ...A[]]

/** All of it, in millionths. */
export const WHOLE_PPM = 1_000_000n

/** What one budget has left by itself, at least zero. */
export function leftOf(account: Account): bigint {
  const left = account.limit - account.settled - account.reserved
  return account.isClosed || account.isFrozen || left < 0n ? 0n : left
}

/** What may still be reserved from the narrowest link: the least of what each link has left, where a link gives only a share of it to the one beneath. */
export function availableOf(links: Links): bigint {
  return leastOver(links, leftOf)
}

/** What could be reserved if every open reservation came back: tells money that is gone from money that others hold for a moment. */
export function headroomOf(links: Links): bigint {
  return leastOver(links, (account) => leftOf({ ...account, reserved: account.setAside }))
}

/** The link that leaves the least; the narrowest of equals. */
export function tightestOf<A extends Account>(links: Links<A>): A {
  const gives = (index: number): bigint => given(links, index, leftOf)
  let tightest = 0
  for (let index = 1; index < links.length; index++) if (gives(index) < gives(tightest)) tightest = index
  return links[tightest] ?? links[0]
}

/** The narrowest link that lets nothing more through, whatever used it up and however much of what calls hold comes back; undefined while each may let something. */
export function metOf<A extends Account>(links: Links<A>): A | undefined {
  return links.find((link) => link.isFrozen || link.isClosed || link.settled + link.setAside >= link.limit)
}

/** The highest threshold that any link has reached, in percent; null when none has. */
export function reachedOf(links: Links): number | null {
  const reached = links.flatMap(({ settled, limit, thresholds }) => thresholds.filter((percent) => limit > 0n && settled * 100n >= limit * BigInt(percent)))
  return reached.length === 0 ? null : Math.max(...reached)
}

/** The highest threshold that a charge crosses, in percent of the limit; 100 is exhaustion. Undefined when it crosses none. */
export function crossedBy(account: Account, settledDelta: bigint): number | undefined {
  if (settledDelta <= 0n || account.limit === 0n) return undefined
  const before = account.settled * 100n
  const after = (account.settled + settledDelta) * 100n
  // Nearly every charge crosses none.
  if (after < account.limit * BigInt(account.thresholds[0] ?? 100)) return undefined
  const crossed = (percent: number) => before < account.limit * BigInt(percent) && after >= account.limit * BigInt(percent)
  return crossed(100) ? 100 : account.thresholds.findLast(crossed)
}

function leastOver(links: Links, left: (account: Account) => bigint): bigint {
  return least(given(links, 0, left), ...links.slice(1).map((_, index) => given(links, index + 1, left)))
}

/** What the link at an index gives to the one beneath it. */
function given(links: Links, index: number, left: (account: Account) => bigint): bigint {
  const account = links[index] ?? links[0]
  const beneath = index === 0 ? undefined : links[index - 1]
  return beneath === undefined || beneath.sharePpm >= WHOLE_PPM ? left(account) : (left(account) * beneath.sharePpm) / WHOLE_PPM
}
