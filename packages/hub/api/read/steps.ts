/** The steps of a run as the wire shows them, with what each has used: together all that the ledger has settled for the run. */
import type { Page, RunId, Step, StepOutcome } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { numberAfter, toPage } from '../plumbing/pages.ts'

interface Row extends Pick<Step, 'index' | 'model' | 'message_id' | 'tools' | 'text'> {
  readonly started_at: Date
  readonly ended_at: Date | null
  readonly outcome: StepOutcome | null
  readonly input: string | null
  readonly cache_read: string | null
  readonly cache_write: string | null
  readonly output: string | null
  readonly cost: string | null
}

/**
 * In the order in which they were taken. A consumption of money counts for the step that names its message (the first of several). One that no step names counts for the
 * newest that it can be of and that never came to name its own: interrupted after the call was made, or under way. What is then left (a side call of the agent, a call
 * that was lost) counts for the step that had begun last when it was settled; of a run at work only if it has no message, for else its own step may still be on its way here.
 * So the steps of a run at rest cost what the run has, and those of one at work never more.
 */
export async function listSteps(db: Database, runId: RunId, query: { limit: number; cursor?: string | undefined }): Promise<Page<Step>> {
  const after = numberAfter(query.cursor) ?? 0n
  const { rows } = await sql<Row>`
    with claims as (
      select message_id, min(index) as index from steps where run_id = ${runId} and message_id is not null group by message_id
    ), used as (
      select coalesce(claims.index, unnamed.index,
          case when u.message_id is null or r.state <> 'running' then coalesce(newest.index, (select min(index) from steps where run_id = ${runId})) end
        ) as index, max(u.model) as model,
        ${sumOf('input')} as input, ${sumOf('cache_read')} as cache_read, ${sumOf('cache_write_5m', 'cache_write_1h')} as cache_write,
        ${sumOf('output')} as output, sum(u.cost)::text as cost
      from usage_events u
      join runs r on r.id = u.run_id
      left join reservations held on held.id = u.reservation_id
      left join claims on claims.message_id = u.message_id
      left join lateral (
        select s.index from steps s
        where claims.index is null and s.run_id = ${runId} and s.outcome is distinct from 'finished' and s.started_at <= u.at
          and (s.ended_at is null or coalesce(held.created_at, u.at) <= s.ended_at)
        order by s.outcome nulls last, s.started_at desc, s.index desc limit 1
      ) unnamed on true
      left join lateral (
        select s.index from steps s where claims.index is null and s.run_id = ${runId} and s.started_at <= u.at order by s.started_at desc, s.index desc limit 1
      ) newest on true
      where u.run_id = ${runId} and u.resource = 'money'
      group by 1
    )
    select s.index, coalesce(nullif(s.model, ''), used.model, '') as model, s.message_id, s.tools, s.text, s.started_at, s.ended_at, s.outcome,
      used.input, used.cache_read, used.cache_write, used.output, used.cost
    from steps s left join used on used.index = s.index
    where s.run_id = ${runId} and s.index > ${after}::bigint
    order by s.index
    limit ${query.limit + 1}`.execute(db)
  return toPage(rows, query.limit, toStep, (row) => String(row.index))
}

function toStep(row: Row): Step {
  return {
    index: row.index,
    model: row.model,
    message_id: row.message_id,
    tools: row.tools,
    text: row.text,
    input_tokens: row.input ?? '0',
    cache_read_tokens: row.cache_read ?? '0',
    cache_write_tokens: row.cache_write ?? '0',
    output_tokens: row.output ?? '0',
    cost: row.cost ?? '0',
    started_at: row.started_at.toISOString(),
    ended_at: row.ended_at?.toISOString() ?? null,
    outcome: row.outcome,
  }
}

/** The sum of members of `tokens`, which are decimal strings (see TokenCounts). */
function sumOf(...members: string[]) {
  const each = members.map((member) => sql`coalesce((u.tokens ->> ${member}::text)::numeric, 0)`)
  return sql<string>`sum(${sql.join(each, sql` + `)})::text`
}
