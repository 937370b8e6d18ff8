/** Operations with their steps as the wire shows them. */
import { AutovibeError, type Json, type Operation, type OperationId, type OperationQuery, type OperationStep, type Page } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { idAfter, toPage } from '../plumbing/pages.ts'

const ISO = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
const iso = (column: string) => sql`to_char(${sql.ref(column)} at time zone 'utc', ${sql.lit(ISO)})`

const steps = sql<OperationStep[]>`(
  select coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'kind', s.kind, 'state', s.state, 'attempts', s.attempts,
    'started_at', ${iso('s.started_at')}, 'ended_at', ${iso('s.ended_at')}) order by s.index), '[]')
  from operation_steps s where s.operation_id = o.id)`

/** Of the last step, which there is when all are done. */
const lastOutput = sql<Json | null>`o.outputs -> o.steps[cardinality(o.steps)]`

const waitsFor = sql<string | null>`case when o.state = 'running' then o.handle ->> 'waits_for' end`

const select = (db: Database) =>
  db
    .selectFrom('operations as o')
    .select([
      'o.id',
      'o.kind',
      'o.state',
      'o.project_id',
      'o.machine_id',
      'o.run_id',
      'o.checkpoint_id',
      'o.error',
      'o.cancel_requested_at',
      'o.input',
      'o.created_at',
      'o.ended_at',
    ])
    .select([steps.as('step_list'), lastOutput.as('output'), waitsFor.as('waits_for')])

type Row = Awaited<ReturnType<ReturnType<typeof select>['execute']>>[number]

/** Newest first. */
export async function listOperations(db: Database, query: OperationQuery): Promise<Page<Operation>> {
  const after = idAfter<OperationId>(query.cursor)
  let rows = select(db)
    .orderBy('o.id', 'desc')
    .limit(query.limit + 1)
  if (after !== undefined) rows = rows.where('o.id', '<', after)
  if (query.state !== undefined) rows = rows.where('o.state', '=', query.state)
  if (query.machine !== undefined) rows = rows.where('o.machine_id', '=', query.machine)
  if (query.project !== undefined) rows = rows.where('o.project_id', '=', query.project)
  return toPage(await rows.execute(), query.limit, toOperation, (row) => row.id)
}

/** `not_found` when there is none. */
export async function readOperation(db: Database, id: OperationId): Promise<Operation> {
  const row = await select(db).where('o.id', '=', id).executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no operation ${id}.`, { fix: 'autovibe operation list' })
  return toOperation(row)
}

function toOperation(row: Row): Operation {
  return {
    id: row.id,
    kind: row.kind,
    state: row.state,
    project_id: row.project_id,
    machine_id: row.machine_id,
    run_id: row.run_id,
    checkpoint_id: row.checkpoint_id,
    steps: row.step_list,
    error: row.error,
    waits_for: row.waits_for,
    cancel_requested: row.cancel_requested_at !== null,
    input: row.input,
    output: row.output,
    created_at: row.created_at.toISOString(),
    ended_at: row.ended_at?.toISOString() ?? null,
  }
}
