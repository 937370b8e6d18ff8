/** Usage events as the wire shows them. */
import type { Page, Resource, TokenCounts, UsageEvent, UsageEventId, UsageQuery } from '@autovibe/contract'
import type { Database } from '../../database/database.ts'
import { idAfter, toPage } from '../plumbing/pages.ts'

/** Newest first. */
export async function listUsageEvents(db: Database, query: UsageQuery): Promise<Page<UsageEvent>> {
  const after = idAfter<UsageEventId>(query.cursor)
  let rows = db
    .selectFrom('usage_events')
    .selectAll()
    .orderBy('id', 'desc')
    .limit(query.limit + 1)
  if (after !== undefined) rows = rows.where('id', '<', after)
  if (query.project !== undefined) rows = rows.where('project_id', '=', query.project)
  if (query.machine !== undefined) rows = rows.where('machine_id', '=', query.machine)
  if (query.run !== undefined) rows = rows.where('run_id', '=', query.run)
  if (query.resource !== undefined) rows = rows.where('resource', '=', query.resource)
  return toPage(
    await rows.execute(),
    query.limit,
    (row) => ({
      id: row.id,
      project_id: row.project_id,
      machine_id: row.machine_id,
      run_id: row.run_id,
      resource: row.resource as Resource,
      amount: row.amount.toString(),
      quality: row.quality,
      provider: row.provider,
      model: row.model,
      message_id: row.message_id,
      tokens: row.tokens as TokenCounts | null,
      cost: row.cost.toString(),
      price_version: row.price_version,
      reservation_id: row.reservation_id,
      first_byte_ms: row.first_byte_ms,
      total_ms: row.total_ms,
      detail: row.detail,
      at: row.at.toISOString(),
    }),
    (row) => row.id,
  )
}
