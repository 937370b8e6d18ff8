/** Opening, closing and changing budgets, in the caller's transaction. */
import { AutovibeError, type BudgetId, type Json } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'
import { describeLink, type Link, readChain, subjectOf } from './chain.ts'
import type { BudgetChange, BudgetSettings, OpenBudget } from './ledger.ts'

/** Opens a budget, or returns the open one of the same scope and resource as it is. `conflict.state` when the parent is closed or of another resource. */
export async function openBudget(tx: Tx, runtime: Runtime, budget: OpenBudget): Promise<BudgetId> {
  assertLimit(budget.limit)
  if (budget.parentId !== null) {
    const [parent] = await readChain(tx, budget.parentId)
    if (parent.isClosed || parent.resource !== budget.resource) {
      throw new AutovibeError(
        'conflict.state',
        `The budget ${parent.id} is ${parent.isClosed ? 'closed' : `for ${parent.resource}`}, so nothing can be opened below it.`,
        { fix: 'autovibe budget' },
      )
    }
  }
  const inserted = await tx
    .insertInto('budgets')
    .values({
      id: runtime.newId('budget'),
      parent_id: budget.parentId,
      scope: budget.scope,
      scope_id: budget.scopeId,
      resource: budget.resource,
      limit: budget.limit,
      ...columnsOf(budget),
      created_at: runtime.now(),
      closed_at: null,
    })
    .onConflict((conflict) => conflict.columns(['scope', 'scope_id', 'resource', 'period']).where('closed_at', 'is', null).doNothing())
    .returning('id')
    .executeTakeFirst()
  if (inserted) {
    await tellChange(tx, runtime, inserted.id, { change: 'opened' })
    return inserted.id
  }
  const open = await tx
    .selectFrom('budgets')
    .select('id')
    .where('scope', '=', budget.scope)
    .where('scope_id', '=', budget.scopeId)
    .where('resource', '=', budget.resource)
    .where('period', '=', 'total')
    .where('closed_at', 'is', null)
    .executeTakeFirstOrThrow()
  return open.id
}

/** Closes a budget: nothing can be reserved from it or below it any more, what is held can still be settled. Closing twice changes nothing. */
export async function closeBudget(tx: Tx, runtime: Runtime, budgetId: BudgetId): Promise<void> {
  const closed = await tx
    .updateTable('budgets')
    .set((eb) => ({ closed_at: runtime.now(), version: eb('version', '+', 1n) }))
    .where('id', '=', budgetId)
    .where('closed_at', 'is', null)
    .returning('id')
    .executeTakeFirst()
  if (closed) await tellChange(tx, runtime, budgetId, { change: 'closed' })
}

/**
 * Changes a limit, which thaws the budget (somebody has looked at it), or its settings. A limit below what is already used is accepted and blocks; the version
 * grows with every such change, not with spending.
 */
export async function changeBudget(tx: Tx, runtime: Runtime, budgetId: BudgetId, change: BudgetChange, ifVersion: bigint): Promise<void> {
  const { limit, sharePpm, ...settings } = change
  if (limit !== undefined) assertLimit(limit)
  const chain = await readChain(tx, budgetId)
  // Only until the caller commits: the writer waits for these rows.
  const locked = sharePpm === undefined ? [chain[0]] : await scopeOf(tx, chain[0])
  for (const { id } of locked) await tx.selectFrom('budgets').select('id').where('id', '=', id).forNoKeyUpdate().execute()
  const before = await tx.selectFrom('budgets').select(['limit', 'version', 'closed_at']).where('id', '=', budgetId).executeTakeFirstOrThrow()
  if (before.version !== ifVersion) {
    throw new AutovibeError(
      'request.precondition_failed',
      `The budget ${budgetId} has changed since version ${ifVersion}: it is at version ${before.version}.`,
      { fix: 'Read the budget again and repeat the change with its new ETag.' },
    )
  }
  if (before.closed_at !== null) throw new AutovibeError('conflict.state', `The budget ${budgetId} is closed.`, { fix: 'autovibe budget' })
  await tx
    .updateTable('budgets')
    .set((eb) => ({ ...(limit === undefined ? {} : { limit, frozen_at: null }), ...columnsOf(settings), version: eb('version', '+', 1n) }))
    .where('id', '=', budgetId)
    .execute()
  if (sharePpm !== undefined) await setShare(tx, locked, budgetId, sharePpm)
  const told = { ...described(change), ...(limit === undefined ? {} : { previous_limit: before.limit.toString() }) }
  await tellChange(tx, runtime, budgetId, { change: limit === undefined ? 'settings' : 'limit', ...told })
}

/** The settings as columns; those that are not given are left out. */
export const columnsOf = ({ thresholds, policy, sharePpm }: BudgetSettings) => ({
  ...(thresholds === undefined ? {} : { thresholds: [...new Set(thresholds)].sort((a, b) => a - b) }),
  ...(policy === undefined ? {} : { policy }),
  ...(sharePpm === undefined ? {} : { share_ppm: sharePpm }),
})

/** The open budgets of the link's scope and resource, the narrowest first, as everyone locks them. */
export async function scopeOf(tx: Tx, link: Link): Promise<Link[]> {
  const { scope, scopeId, resource } = link
  const narrowest = await tx
    .selectFrom('budgets')
    .select('id')
    .where('scope', '=', scope)
    .where('scope_id', '=', scopeId)
    .where('resource', '=', resource)
    .where('period', '=', 'total')
    .where('closed_at', 'is', null)
    .executeTakeFirst()
  if (!narrowest) return [link]
  return (await readChain(tx, narrowest.id)).filter((each) => each.scope === scope)
}

/** Gives all budgets of a scope the same share; whoever remembers one of the others learns it by its version. */
export async function setShare(tx: Tx, scope: readonly Link[], changed: BudgetId, sharePpm: bigint): Promise<void> {
  for (const { id } of scope) {
    await tx
      .updateTable('budgets')
      .set((eb) => ({ share_ppm: sharePpm, version: eb('version', '+', id === changed ? 0n : 1n) }))
      .where('id', '=', id)
      .execute()
  }
}

/** Tells of a change of a budget, with what it is now. */
export async function tellChange(tx: Tx, runtime: Runtime, budgetId: BudgetId, detail: Record<string, Json>): Promise<void> {
  const chain = await readChain(tx, budgetId)
  const [link] = chain
  await recordEvent(tx, runtime, {
    type: 'budget.changed',
    ...subjectOf(chain, link),
    data: { ...describeLink(link), version: link.version.toString(), ...detail },
  })
}

export function assertLimit(limit: bigint): void {
  if (limit < 0n) throw new AutovibeError('request.invalid', 'A budget cannot have a negative limit.')
}

const described = ({ thresholds, policy, sharePpm }: BudgetSettings): Record<string, Json> => ({
  ...(thresholds === undefined ? {} : { thresholds: [...thresholds] }),
  ...(policy === undefined ? {} : { policy }),
  ...(sharePpm === undefined ? {} : { share_ppm: sharePpm.toString() }),
})
