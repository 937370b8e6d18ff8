/** The chain of a budget, from the narrowest link to the root: reading it, locking it, and what may still be reserved from it. */
import { AutovibeError, type BudgetId, type BudgetScope, type MachineId, type ProjectId, type RunId } from '@autovibe/contract'
import { least } from '@autovibe/core/budgets/extremes.ts'
import { type Kysely, sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { NewEvent } from '../database/events.ts'
import type { Schema } from '../database/schema.ts'

export interface Link {
  readonly id: BudgetId
  readonly scope: BudgetScope
  readonly scope_id: string
  readonly resource: string
  readonly limit: bigint
  readonly settled: bigint
  readonly reserved: bigint
  readonly version: bigint
  readonly closed_at: Date | null
}
/** At least one link; the narrowest first. */
export type Chain = readonly [Link, ...Link[]]

/** Longer than organisation > project > machine > run can be; a longer one is a mistake in the rows. */
const MAX_LINKS = 8

const chainOf = (budgetId: BudgetId) => sql`
  with recursive chain (id, parent_id, depth) as (
    select id, parent_id, 1 from budgets where id = ${budgetId}
    union all
    select b.id, b.parent_id, chain.depth + 1 from budgets b join chain on b.id = chain.parent_id where chain.depth < ${MAX_LINKS}
  )
  select b.id, b.scope, b.scope_id, b.resource, b."limit", b.settled, b.reserved, b.version, b.closed_at
  from budgets b join chain on chain.id = b.id
  order by chain.depth`

/** The chain as it stands now; `not_found` when there is no such budget. */
export async function readChain(db: Kysely<Schema>, budgetId: BudgetId): Promise<Chain> {
  const { rows } = await sql<Link>`${chainOf(budgetId)}`.execute(db)
  return asChain(rows, budgetId)
}

/**
 * Locks every link until the transaction ends. Budgets form a tree and everyone locks from the leaf to the root, so two transactions never wait
 * for each other in a circle; the root, which all share, is held for the shortest time. NO KEY UPDATE lets foreign keys be checked meanwhile.
 */
export async function lockChain(tx: Tx, budgetId: BudgetId): Promise<Chain> {
  const { rows } = await sql<Link>`${chainOf(budgetId)} for no key update of b`.execute(tx)
  return asChain(rows, budgetId)
}

/** What may still be reserved: the least of what each link has left; zero when a link is closed or overdrawn. */
export function availableOf(chain: Chain): bigint {
  const [first, ...others] = chain
  return least(leftOf(first), ...others.map(leftOf))
}

/** What one link has left, at least zero. */
export function leftOf(link: Link): bigint {
  const left = link.limit - link.settled - link.reserved
  return link.closed_at !== null || left < 0n ? 0n : left
}

/** Whom a link's events concern, for those who follow one run, machine or project. */
export function subjectOf(chain: Chain, link: Link): Pick<NewEvent, 'project_id' | 'machine_id' | 'run_id'> {
  const from = chain.slice(chain.indexOf(link))
  const idOf = (scope: BudgetScope) => from.find((candidate) => candidate.scope === scope)?.scope_id ?? null
  return { project_id: idOf('project') as ProjectId | null, machine_id: idOf('machine') as MachineId | null, run_id: idOf('run') as RunId | null }
}

/** The members that every event about a budget carries. */
export const describeLink = (link: Link) => ({
  budget_id: link.id,
  scope: link.scope,
  scope_id: link.scope_id,
  resource: link.resource,
  limit: link.limit.toString(),
})

function asChain(rows: readonly Link[], budgetId: BudgetId): Chain {
  const [first, ...rest] = rows
  if (!first) throw new AutovibeError('not_found', `There is no budget ${budgetId}.`, { fix: 'autovibe budget' })
  return [first, ...rest]
}
