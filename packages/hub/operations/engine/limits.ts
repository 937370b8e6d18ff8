/** The engine's times and counts, and how they must relate. */

/** A Hub that holds an operation is taken for dead when it has not renewed for this long. */
export const LEASE_MS = 10_000
export const RENEW_EVERY_MS = 3_000
/** A parked step looks again this often even when nobody woke it. */
export const PARKED_RECHECK_MS = 3_000
/** A step whose substrate is away was not tried: it asks again so often, for as long as that lasts. */
export const AWAY_RECHECK_MS = 5_000
export const STEP_TIMEOUT_MS = 60_000
/** Calls of one step before the operation is undone. */
export const DO_ATTEMPTS_MAX = 6
/** Calls of one undo before a person is asked. */
export const UNDO_ATTEMPTS_MAX = 12
/** Calls of one step that ended with the death of the Hub that made them: then the step itself is what kills. */
export const DEATHS_MAX = 12
/** Operations that one Hub advances at a time, and how many of them may be long ones: quick ones never wait for eight large trees. */
export const WORKERS_MAX = 8
export const LONG_WORKERS_MAX = 3

/** How long to wait before the next try, in ms: doubling from 100 ms to 20 s. */
export const backOffMs = (attempts: number): number => Math.min(100 * 2 ** Math.max(0, attempts - 1), 20_000)

if (LONG_WORKERS_MAX >= WORKERS_MAX) throw new Error('long operations must leave workers to the quick ones')
if (RENEW_EVERY_MS * 3 > LEASE_MS) throw new Error('a lease must survive two missed renewals')
