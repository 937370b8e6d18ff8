/** Tells every Hub that something changed for a machine or an operation; says nothing that a row does not say. */
import { sql } from 'kysely'
import type pg from 'pg'
import type { Tx } from '../../database/database.ts'
import type { Runtime } from '../../runtime.ts'

export const WAKE_CHANNEL = 'autovibe_operations'

/** Wakes the operations of this machine (or this one operation) when the transaction commits. */
export async function wake(tx: Tx, subject: string): Promise<void> {
  await sql`select ${wakes(subject)}`.execute(tx)
}

/** The same as something that a statement returns. */
export const wakes = (subject: string) => sql<unknown>`pg_notify(${WAKE_CHANNEL}, ${subject})`

/** Moves parked operations of the woken subjects forward to now; done in a transaction of its own, so that no request waits for a step's lock. */
export async function unpark(pool: pg.Pool, runtime: Runtime, subjects: readonly string[]): Promise<void> {
  await pool.query('update operations set wake_at = $1 where (machine_id = any($2) or id = any($2)) and ended_at is null and wake_at > $1 and state <> $3', [
    runtime.now(),
    subjects,
    'stuck',
  ])
}
