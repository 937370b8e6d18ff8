/** How long an archive waits for a lock that somebody else holds on its machine, and when it asks again. */

export interface LockWait {
  readonly sinceMs: number
  /** When it was met last. */
  readonly metMs: number
  readonly looks: number
}

/** From the first time that the lock was met. */
export const LOCK_WAIT_MOST_MS = 30 * 60_000
const FIRST_PAUSE_MS = 5_000
const MOST_PAUSE_MS = 120_000
/** A lock that was not met for so long is another one: more than a pause with the minutes that a look may take. */
const FORGOTTEN_MS = 15 * 60_000

/** The lock was met, again or for the first time: how the wait stands now and when to ask again; `over` when it has lasted long enough. */
export function meetLock(before: LockWait | null, nowMs: number): { readonly wait: LockWait; readonly againMs: number } | 'over' {
  const isSame = before !== null && nowMs - before.metMs <= FORGOTTEN_MS
  const sinceMs = isSame ? before.sinceMs : nowMs
  const leftMs = sinceMs + LOCK_WAIT_MOST_MS - nowMs
  if (leftMs <= 0) return 'over'
  const looks = isSame ? before.looks + 1 : 1
  const pauseMs = Math.min(MOST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(looks - 1, 10))
  return { wait: { sinceMs, metMs: nowMs, looks }, againMs: Math.min(pauseMs, leftMs) }
}
