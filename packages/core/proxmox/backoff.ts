/** How long to wait before asking Proxmox again: doubling, capped, and spread so that many waiters of one lock do not come back together. */

export interface BackoffLimits {
  readonly firstMs: number
  readonly mostMs: number
}

const MOST_DOUBLINGS = 30

/** The wait in ms after `attempt` failed ones (0 is the first failure), from half of the full wait to all of it; `chance` is in [0, 1). */
export function backoffMs(limits: BackoffLimits, attempt: number, chance: number): number {
  const full = Math.min(limits.mostMs, limits.firstMs * 2 ** Math.min(attempt, MOST_DOUBLINGS))
  return full / 2 + (full / 2) * chance
}
