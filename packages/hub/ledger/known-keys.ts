/** What was counted before: a consumption has a key, whether a budget was charged with it or it was only recorded. */
import { type Kysely, sql } from 'kysely'
import type { Schema } from '../database/schema.ts'

export async function knownKeys(db: Kysely<Schema>, keys: readonly string[]): Promise<ReadonlySet<string>> {
  if (keys.length === 0) return new Set()
  const { rows } = await sql<{ key: string }>`
    select report_key as key from usage_events where report_key = any(${keys}::text[])
    union all
    select idempotency_key from reservations where idempotency_key = any(${keys}::text[])`.execute(db)
  return new Set(rows.map(({ key }) => key))
}
