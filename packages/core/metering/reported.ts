/** How much of what a machine says of itself can be true: a run takes no more seconds than have passed, on as many processors as there are. */

/** What the Hub and the machine may be apart when a run begins or ends, in seconds. */
const APART_SECONDS = 5

export interface Reported {
  readonly resource: 'wall_seconds' | 'cpu_seconds'
  readonly amount: bigint
  /** Of the same resource and run, so far. */
  readonly counted: bigint
  /** Since the run began, until its end. */
  readonly passedMs: number
  /** The most processors that the machine could have. */
  readonly cores: number
}

/** The part of the amount that there was time for. */
export function believable({ resource, amount, counted, passedMs, cores }: Reported): bigint {
  const seconds = Math.max(0, passedMs) / 1000 + APART_SECONDS
  const most = BigInt(Math.ceil(resource === 'cpu_seconds' ? seconds * Math.max(1, cores) : seconds))
  const left = most > counted ? most - counted : 0n
  return amount < left ? amount : left
}
