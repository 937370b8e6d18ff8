/** Runs as the wire shows them; what a run spent is what its budget settled. */
import { type AgentName, AutovibeError, type Page, type Run, type RunId, type RunQuery } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { idAfter, toPage } from '../plumbing/pages.ts'

const select = (db: Database) =>
  db
    .selectFrom('runs as r')
    .innerJoin('machines as m', 'm.id', 'r.machine_id')
    .leftJoin('budgets as b', 'b.id', 'r.budget_id')
    .selectAll('r')
    .select((eb) => [
      'm.name as machine_name',
      'b.settled',
      'b.reserved',
      'b.limit',
      sql<bigint>`(
        select coalesce(sum(kept.amount), 0)::bigint from reservations kept
        where kept.state = 'open' and kept.holder like 'hand-back %' and kept.holder = 'hand-back ' || r.id)`.as('set_aside'),
      eb
        .selectFrom('steps as s')
        .whereRef('s.run_id', '=', 'r.id')
        .select((count) => count.fn.countAll<bigint>().as('n'))
        .as('steps'),
      eb
        .selectFrom('checkpoints as c')
        .whereRef('c.run_id', '=', 'r.id')
        .where('c.state', '=', 'verified')
        .orderBy('c.id', 'desc')
        .limit(1)
        .select('c.id')
        .as('checkpoint_id'),
      // What was asked for, as long as no budget says it.
      eb
        .selectFrom('operations as o')
        .whereRef('o.machine_id', '=', 'r.machine_id')
        .whereRef('o.run_id', '=', 'r.id')
        .orderBy('o.id')
        .limit(1)
        .select(sql<string | null>`o.input ->> 'limitNanoUsd'`.as('limit'))
        .as('asked_limit'),
    ])

type Row = Awaited<ReturnType<ReturnType<typeof select>['execute']>>[number]

/** Newest first. */
export async function listRuns(db: Database, query: RunQuery): Promise<Page<Run>> {
  const after = idAfter<RunId>(query.cursor)
  let rows = select(db)
    .orderBy('r.id', 'desc')
    .limit(query.limit + 1)
  if (after !== undefined) rows = rows.where('r.id', '<', after)
  if (query.project !== undefined) rows = rows.where('r.project_id', '=', query.project)
  if (query.machine !== undefined) rows = rows.where('r.machine_id', '=', query.machine)
  if (query.state !== undefined) rows = rows.where('r.state', '=', query.state)
  return toPage(await rows.execute(), query.limit, toRun, (row) => row.id)
}

/** `not_found` when there is none. */
export async function readRun(db: Database, id: RunId): Promise<Run> {
  const row = await select(db).where('r.id', '=', id).executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no run ${id}.`, { fix: 'autovibe ps --all' })
  return toRun(row)
}

function toRun(row: Row): Run {
  return {
    id: row.id,
    project_id: row.project_id,
    machine_id: row.machine_id,
    machine_name: row.machine_name,
    prompt: row.prompt,
    agent: row.agent as AgentName,
    provider: row.provider,
    model: row.model,
    check: row.check_command,
    state: row.state,
    state_reason: row.state_reason,
    summary: row.summary,
    check_result: row.check_result,
    agent_reported_cost: row.agent_reported_cost?.toString() ?? null,
    budget_id: row.budget_id,
    spent: (row.settled ?? 0n).toString(),
    held: ((row.reserved ?? 0n) - row.set_aside).toString(),
    set_aside: row.set_aside.toString(),
    limit: row.limit?.toString() ?? row.asked_limit ?? '0',
    steps: Number(row.steps ?? 0),
    checkpoint_id: row.checkpoint_id,
    created_at: row.created_at.toISOString(),
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: row.ended_at?.toISOString() ?? null,
  }
}
