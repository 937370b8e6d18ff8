/** The event stream as readers follow it: in the order of (xid, seq), below the oldest transaction still running, so that an event committed late is never skipped. */
import { AutovibeError, type Event, type EventQuery } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'

export type EventFilter = Pick<EventQuery, 'project' | 'machine' | 'run' | 'operation' | 'types'>

/** A place in the stream: everything up to it was read. */
export interface Place {
  readonly xid: string
  readonly seq: string
}
export const START: Place = { xid: '0', seq: '0' }

export interface EventBatch {
  readonly events: Event[]
  /** Where the next batch starts: behind the last event, or, when all was read, behind what the filter left out too. */
  readonly next: Place
  readonly more: boolean
  /** Something is committed that may not be read yet, because an older transaction still runs. */
  readonly held: boolean
}

const TYPES_MAX = 50

/** Behind everything that has ended by now. */
export async function readEndOfEvents(db: Database): Promise<Place> {
  const { rows } = await sql<{ xid: string }>`select pg_snapshot_xmin(pg_current_snapshot())::text as xid`.execute(db)
  return { xid: rows[0]?.xid ?? '0', seq: '0' }
}

/** Reads up to `limit` events behind a place. */
export async function readEvents(db: Database, filter: EventFilter, after: Place, limit: number): Promise<EventBatch> {
  // Read first: whatever is below this horizon has ended, so the query after it sees all of it.
  const horizon = await sql<{ xid: string; held: boolean }>`
    select pg_snapshot_xmin(pg_current_snapshot())::text as xid,
      exists (select from events where xid >= pg_snapshot_xmin(pg_current_snapshot())) as held`.execute(db)
  const { xid = '0', held = false } = horizon.rows[0] ?? {}
  let rows = db
    .selectFrom('events')
    .selectAll()
    .where(sql<boolean>`(xid, seq) > (${after.xid}::xid8, ${after.seq}::bigint)`)
    .where(sql<boolean>`xid < ${xid}::xid8`)
    .orderBy('xid')
    .orderBy('seq')
    .limit(limit)
  if (filter.project !== undefined) rows = rows.where('project_id', '=', filter.project)
  if (filter.machine !== undefined) rows = rows.where('machine_id', '=', filter.machine)
  if (filter.run !== undefined) rows = rows.where('run_id', '=', filter.run)
  if (filter.operation !== undefined) rows = rows.where('operation_id', '=', filter.operation)
  if (filter.types !== undefined) rows = rows.where('type', 'in', filter.types.split(',').slice(0, TYPES_MAX))
  const found = await rows.execute()
  const last = found.at(-1)
  const more = found.length === limit && last !== undefined
  return {
    events: found.map((row) => ({
      id: row.id,
      cursor: `${row.xid}-${row.seq}`,
      type: row.type,
      at: row.at.toISOString(),
      project_id: row.project_id,
      machine_id: row.machine_id,
      run_id: row.run_id,
      operation_id: row.operation_id,
      checkpoint_id: row.checkpoint_id,
      data: row.data,
    })),
    next: more ? { xid: last.xid, seq: last.seq.toString() } : laterOf(after, { xid, seq: '0' }),
    more,
    held,
  }
}

/** A reader that shows a cursor from the future (of another database) stays there rather than starting over. */
function laterOf(a: Place, b: Place): Place {
  if (a.xid === b.xid) return BigInt(a.seq) > BigInt(b.seq) ? a : b
  return BigInt(a.xid) > BigInt(b.xid) ? a : b
}

/** The place that a cursor (`xid-seq`) names; `request.invalid` when it is none. */
export function placeOf(cursor: string): Place {
  const [, xid = '', seq = ''] = /^([0-9]{1,20})-([0-9]{1,19})$/.exec(cursor) ?? []
  if (xid !== '' && BigInt(xid) < 2n ** 64n && BigInt(seq) < 2n ** 63n) return { xid, seq }
  throw new AutovibeError('request.invalid', 'The cursor is not one of this stream.', {
    errors: [{ path: 'query.after', message: 'must be the cursor of an event' }],
    fix: 'Use 0-0 for the oldest event.',
  })
}
