/** Budgets and their ledger as the wire shows them. */
import {
  AutovibeError,
  type Budget,
  type BudgetId,
  type BudgetPeriod,
  type BudgetQuery,
  type BudgetScope,
  type LedgerEntry,
  type Page,
  type Resource,
  type RunId,
} from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { idAfter, numberAfter, toPage } from '../plumbing/pages.ts'

/** What may still be reserved from a budget, as `availableOf` of the core says it: the least that any link leaves, or its share of it where a scope ends. */
const available = sql<bigint>`(
  with recursive chain as (
    select b.id, b.parent_id, b.scope, b.share_ppm, ${leftOf('b')} as given
    union all
    select p.id, p.parent_id, p.scope, p.share_ppm, case when chain.scope = p.scope then ${leftOf('p')} else div(${leftOf('p')} * chain.share_ppm, 1000000) end
    from chain join budgets p on p.id = chain.parent_id
  )
  select min(given)::bigint from chain)`

function leftOf(budget: 'b' | 'p') {
  const column = (name: string) => sql.ref(`${budget}.${name}`)
  return sql`case when ${column('closed_at')} is null and ${column('frozen_at')} is null
    then greatest(0, ${column('limit')} - ${column('settled')} - ${column('reserved')})::numeric else 0 end`
}

const setAside = sql<bigint>`coalesce((
  select sum(r.amount) from reservations r where r.state = 'open' and r.holder like 'hand-back %' and b.id = any(r.budget_ids)), 0)::bigint`

const select = (db: Database) =>
  db
    .selectFrom('budgets as b')
    .selectAll('b')
    .select([available.as('available'), setAside.as('set_aside')])

type Row = Awaited<ReturnType<ReturnType<typeof select>['execute']>>[number]

/** Newest first. */
export async function listBudgets(db: Database, query: BudgetQuery): Promise<Page<Budget>> {
  const after = idAfter<BudgetId>(query.cursor)
  let rows = select(db)
    .orderBy('b.id', 'desc')
    .limit(query.limit + 1)
  if (after !== undefined) rows = rows.where('b.id', '<', after)
  if (query.scope !== undefined) rows = rows.where('b.scope', '=', query.scope)
  if (query.scope_id !== undefined) rows = rows.where('b.scope_id', '=', query.scope_id)
  if (query.resource !== undefined) rows = rows.where('b.resource', '=', query.resource)
  if (query.period !== undefined) rows = rows.where('b.period', '=', query.period)
  if (query.open !== undefined) rows = rows.where('b.closed_at', query.open ? 'is' : 'is not', null)
  return toPage(await rows.execute(), query.limit, toBudget, (row) => row.id)
}

/** `not_found` when there is none. */
export async function readBudget(db: Database, id: BudgetId): Promise<Budget> {
  const row = await select(db).where('b.id', '=', id).executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no budget ${id}.`, { fix: 'autovibe budget show' })
  return toBudget(row)
}

/** The open budget of a scope for a period, if there is one. */
export async function findOpenBudget(
  db: Database,
  scope: BudgetScope,
  scopeId: string,
  resource: Resource,
  period: BudgetPeriod,
): Promise<BudgetId | undefined> {
  const row = await db
    .selectFrom('budgets')
    .select('id')
    .where('scope', '=', scope)
    .where('scope_id', '=', scopeId)
    .where('resource', '=', resource)
    .where('period', '=', period)
    .where('closed_at', 'is', null)
    .executeTakeFirst()
  return row?.id
}

interface PausedRun {
  readonly id: RunId
  readonly budget_id: BudgetId
  readonly state_reason: string | null
}

/** The runs that stand still, under this budget or one beneath it, at most `limit`, oldest first. */
export async function findPausedRunsBeneath(db: Database, id: BudgetId, limit: number): Promise<PausedRun[]> {
  const { rows } = await sql<PausedRun>`
    with recursive beneath as (
      select id from budgets where id = ${id}
      union all
      select b.id from beneath join budgets b on b.parent_id = beneath.id where b.closed_at is null
    )
    select r.id, r.budget_id, r.state_reason from runs r join beneath on beneath.id = r.budget_id where r.state = 'paused' and r.ended_at is null order by r.id limit ${limit}`.execute(
    db,
  )
  return rows
}

/** The movements of a budget and of all beneath it, in the order in which they were written. */
export async function listLedger(db: Database, id: BudgetId, query: { limit: number; cursor?: string | undefined }): Promise<Page<LedgerEntry>> {
  const after = numberAfter(query.cursor)
  const beneath = sql<BudgetId>`(
    with recursive beneath as (select id from budgets where id = ${id} union all select b.id from beneath join budgets b on b.parent_id = beneath.id)
    select id from beneath)`
  const rows = await db
    .selectFrom('ledger_entries as e')
    .leftJoin('reservations as r', 'r.id', 'e.reservation_id')
    .selectAll('e')
    .where('e.budget_id', 'in', beneath)
    // A cap that was set while a hold was open has no part in it.
    .where((eb) => eb.or([eb('e.budget_id', '=', id), eb(sql<string>`${id}`, '=', eb.fn.any('r.budget_ids'))]))
    .$if(after !== undefined, (qb) => qb.where('e.seq', '>', after as bigint))
    .orderBy('e.seq')
    .limit(query.limit + 1)
    .execute()
  return toPage(
    rows,
    query.limit,
    (row) => ({
      id: row.seq.toString(),
      budget_id: row.budget_id,
      reservation_id: row.reservation_id,
      usage_event_id: row.usage_event_id,
      kind: row.kind,
      reserved_delta: row.reserved_delta.toString(),
      settled_delta: row.settled_delta.toString(),
      at: row.at.toISOString(),
    }),
    (row) => row.seq.toString(),
  )
}

function toBudget(row: Row): Budget {
  return {
    id: row.id,
    parent_id: row.parent_id,
    scope: row.scope as BudgetScope,
    scope_id: row.scope_id,
    resource: row.resource as Resource,
    period: row.period,
    period_ends_at: row.period_ends_at?.toISOString() ?? null,
    limit: row.limit.toString(),
    settled: row.settled.toString(),
    reserved: row.reserved.toString(),
    set_aside: row.set_aside.toString(),
    available: row.available.toString(),
    thresholds: row.thresholds,
    policy: row.policy,
    share: Number(row.share_ppm) / 1_000_000,
    frozen_at: row.frozen_at?.toISOString() ?? null,
    closed_at: row.closed_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
    version: Number(row.version),
  }
}
