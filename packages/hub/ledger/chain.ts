/** The chain of a budget, from the narrowest link to the root: reading it, and what is said about its links. */
import {
  AutovibeError,
  type BudgetId,
  type BudgetPeriod,
  type BudgetPolicy,
  type BudgetScope,
  type MachineId,
  type ProjectId,
  type Resource,
  type RunId,
} from '@autovibe/contract'
import { type Account, type Links, WHOLE_PPM } from '@autovibe/core/budgets/account.ts'
import { type Kysely, sql } from 'kysely'
import type { NewEvent } from '../database/events.ts'
import type { Schema } from '../database/schema.ts'

/** A budget with what it takes to decide about it and to tell of it. */
export interface Link extends Account {
  readonly id: BudgetId
  readonly parentId: BudgetId | null
  readonly scope: BudgetScope
  readonly scopeId: string
  readonly resource: Resource
  readonly period: BudgetPeriod
  /** When `settled` begins anew; null when it never does. */
  readonly periodEndsAt: Date | null
  readonly version: bigint
  /** What happens to a run that meets the limit. */
  readonly policy: BudgetPolicy
}
export type Chain = Links<Link>

/** Longer than any chain of four scopes with four periods each; a longer one is a mistake in the rows. */
const MAX_LINKS = 17

interface Row {
  readonly id: BudgetId
  readonly parent_id: BudgetId | null
  readonly scope: BudgetScope
  readonly scope_id: string
  readonly resource: Resource
  readonly period: BudgetPeriod
  readonly period_ends_at: Date | null
  readonly limit: bigint
  readonly settled: bigint
  readonly reserved: bigint
  readonly set_aside: bigint
  readonly version: bigint
  readonly share_ppm: bigint
  readonly policy: BudgetPolicy
  readonly thresholds: number[]
  readonly closed_at: Date | null
  readonly frozen_at: Date | null
}

/** The budgets and all above them, as they stand now, in no order; ids that do not exist are left out. */
export async function readLinks(db: Kysely<Schema>, ids: readonly BudgetId[]): Promise<Link[]> {
  const { rows } = await sql<Row>`
    with recursive up as (
      select b.* from budgets b where b.id = any(${ids}::text[])
      union
      select b.* from budgets b join up on b.id = up.parent_id
    )
    select id, parent_id, scope, scope_id, resource, period, period_ends_at, "limit", settled, reserved, version, share_ppm, policy, thresholds,
      closed_at, frozen_at, coalesce((
        select sum(r.amount) from reservations r where r.state = 'open' and r.holder like 'hand-back %' and up.id = any(r.budget_ids)), 0)::bigint as set_aside
    from up`.execute(db)
  const scopes = new Map(rows.map((row) => [row.id, row.scope]))
  return rows.map((row) => ({
    id: row.id,
    parentId: row.parent_id,
    scope: row.scope,
    scopeId: row.scope_id,
    resource: row.resource,
    limit: row.limit,
    settled: row.settled,
    reserved: row.reserved,
    setAside: row.set_aside,
    version: row.version,
    policy: row.policy,
    period: row.period,
    periodEndsAt: row.period_ends_at,
    // It is a share of what is left above the scope, so it counts where the scope ends.
    sharePpm: row.parent_id !== null && scopes.get(row.parent_id) === row.scope ? WHOLE_PPM : row.share_ppm,
    thresholds: row.thresholds,
    isClosed: row.closed_at !== null,
    isFrozen: row.frozen_at !== null,
  }))
}

/** The chain as it stands now; `not_found` when there is no such budget. */
export async function readChain(db: Kysely<Schema>, budgetId: BudgetId): Promise<Chain> {
  const links = new Map((await readLinks(db, [budgetId])).map((link) => [link.id, link]))
  return chainOf(links, budgetId)
}

/** The chain of a budget among links that were read; `not_found` when there is no such budget. */
export function chainOf<L extends Link>(links: ReadonlyMap<BudgetId, L>, budgetId: BudgetId): Links<L> {
  const first = links.get(budgetId)
  if (!first) throw new AutovibeError('not_found', `There is no budget ${budgetId}.`, { fix: 'autovibe budget' })
  const rest: L[] = []
  for (let at: L | undefined = first; at?.parentId != null; rest.push(at)) {
    at = links.get(at.parentId)
    // To go on without it would leave out a cap.
    if (!at || rest.length === MAX_LINKS) throw new Error(`the chain of the budget ${budgetId} is not whole`)
  }
  return [first, ...rest]
}

/** Whom a link's events concern, for those who follow one run, machine or project. */
export function subjectOf(chain: Chain, link: Link): Pick<NewEvent, 'project_id' | 'machine_id' | 'run_id'> {
  const from = chain.slice(chain.indexOf(link))
  const idOf = (scope: BudgetScope) => from.find((candidate) => candidate.scope === scope)?.scopeId ?? null
  return { project_id: idOf('project') as ProjectId | null, machine_id: idOf('machine') as MachineId | null, run_id: idOf('run') as RunId | null }
}

/** The members that every event about a budget carries. */
export const describeLink = (link: Link) => ({
  budget_id: link.id,
  scope: link.scope,
  scope_id: link.scopeId,
  resource: link.resource,
  period: link.period,
  limit: link.limit.toString(),
})
