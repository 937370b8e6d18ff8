/** What a VM's network cards carried: counters that begin again at each boot, added up over boots. */

export interface Carried {
  /** Of all boots together. */
  readonly inBytes: number
  readonly outBytes: number
  /** The counters as they were last seen. */
  readonly last: CardCounters
}

export interface CardCounters {
  readonly inBytes: number
  readonly outBytes: number
  /** Seconds since the boot whose counters they are. */
  readonly uptimeS: number
  /** Seconds since 1970 at which they were read. */
  readonly atS: number
}

/** What is told may be ten seconds old though it was asked for now, so that the boot seems to be later than it was; and clocks differ a little. No VM is off and up again so soon. */
export const BOOT_SLACK_S = 30

/** From now on it counts: what the cards carried before is nobody's. */
export const firstCarried = (now: CardCounters): Carried => ({ inBytes: 0, outBytes: 0, last: now })

export function carriedOn(before: Carried, now: CardCounters): Carried {
  const { last } = before
  const isOlder = now.atS < last.atS
  if (isOlder || !isCounter(now.inBytes) || !isCounter(now.outBytes)) return before
  const hasBooted = bootOf(now) > bootOf(last) + BOOT_SLACK_S
  // Of the same boot smaller ones are an old telling: cards count up. The same ones are no news.
  const isSmaller = now.inBytes < last.inBytes || now.outBytes < last.outBytes
  if (!hasBooted && (isSmaller || (now.inBytes === last.inBytes && now.outBytes === last.outBytes))) return before
  const since = hasBooted ? { inBytes: 0, outBytes: 0 } : last
  return { inBytes: before.inBytes + now.inBytes - since.inBytes, outBytes: before.outBytes + now.outBytes - since.outBytes, last: now }
}

const bootOf = ({ atS, uptimeS }: CardCounters): number => atS - uptimeS

const isCounter = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
