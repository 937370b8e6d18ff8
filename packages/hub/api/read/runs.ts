/** Runs and their steps as the wire shows them; what a run spent is what its budget settled. */
import { type AgentName, AutovibeError, type Page, type Run, type RunId, type RunQuery, type Step } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { idAfter, numberAfter, toPage } from '../plumbing/pages.ts'

const select = (db: Database) =>
  db
    .selectFrom('runs as r')
    .innerJoin('machines as m', 'm.id', 'r.machine_id')
    .leftJoin('budgets as b', 'b.id', 'r.budget_id')
    .selectAll('r')
    .select((eb) => [
      'm.name as machine_name',
      'b.settled',
      'b.limit',
      eb
        .selectFrom('steps as s')
        .whereRef('s.run_id', '=', 'r.id')
        // One that has only begun may never become a step: its model call can still be refused.
        .where('s.ended_at', 'is not', null)
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
  if (!row) throw new AutovibeError('not_found', `There is no run ${id}.`, { fix: 'GET /v1/runs lists them.' })
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
    limit: row.limit?.toString() ?? row.asked_limit ?? '0',
    steps: Number(row.steps ?? 0),
    checkpoint_id: row.checkpoint_id,
    created_at: row.created_at.toISOString(),
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: row.ended_at?.toISOString() ?? null,
  }
}

/** In the order in which they were taken. Tokens and cost are what the gateway metered under the step's message. */
export async function listSteps(db: Database, runId: RunId, query: { limit: number; cursor?: string | undefined }): Promise<Page<Step>> {
  const after = numberAfter(query.cursor)
  const rows = await db
    .selectFrom('steps as s')
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('usage_events as u')
          .whereRef('u.message_id', '=', 's.message_id')
          .whereRef('u.run_id', '=', 's.run_id')
          .select([
            sumOf('input').as('input_tokens'),
            sumOf('cache_read').as('cache_read_tokens'),
            sumOf('cache_write_5m', 'cache_write_1h').as('cache_write_tokens'),
            sumOf('output').as('output_tokens'),
            sql<string>`coalesce(sum(u.cost), 0)::text`.as('cost'),
          ])
          .as('used'),
      (join) => join.onTrue(),
    )
    .select(['s.index', 's.model', 's.message_id', 's.text', 's.tools', 's.started_at', 's.ended_at'])
    .select(['used.input_tokens', 'used.cache_read_tokens', 'used.cache_write_tokens', 'used.output_tokens', 'used.cost'])
    .where('s.run_id', '=', runId)
    .$if(after !== undefined, (qb) => qb.where('s.index', '>', Number(after)))
    .orderBy('s.index')
    .limit(query.limit + 1)
    .execute()
  return toPage(
    rows,
    query.limit,
    (row) => ({
      index: row.index,
      model: row.model,
      message_id: row.message_id,
      tools: row.tools,
      text: row.text,
      input_tokens: row.input_tokens ?? '0',
      cache_read_tokens: row.cache_read_tokens ?? '0',
      cache_write_tokens: row.cache_write_tokens ?? '0',
      output_tokens: row.output_tokens ?? '0',
      cost: row.cost ?? '0',
      started_at: row.started_at.toISOString(),
      ended_at: row.ended_at?.toISOString() ?? null,
    }),
    (row) => String(row.index),
  )
}

/** The sum of members of `tokens`, which are decimal strings (see TokenCounts). */
function sumOf(...members: string[]) {
  const each = members.map((member) => sql`coalesce((u.tokens ->> ${member})::numeric, 0)`)
  return sql<string>`coalesce(sum(${sql.join(each, sql` + `)}), 0)::text`
}
