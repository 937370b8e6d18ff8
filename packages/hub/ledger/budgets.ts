/** Opening, closing and changing budgets, in the caller's transaction. */
import { AutovibeError, type BudgetId } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'
import { describeLink, type Link, lockChain, readChain, subjectOf } from './chain.ts'
import type { OpenBudget } from './ledger.ts'

/** Opens a budget, or returns the open one of the same scope and resource as it is. `conflict.state` when the parent is closed or of another resource. */
export async function openBudget(tx: Tx, runtime: Runtime, budget: OpenBudget): Promise<BudgetId> {
  if (budget.limit < 0n) throw new AutovibeError('request.invalid', 'A budget cannot have a negative limit.')
  if (budget.parentId !== null) {
    const [parent] = await readChain(tx, budget.parentId)
    if (parent.closed_at !== null || parent.resource !== budget.resource) {
      throw new AutovibeError(
        'conflict.state',
        `The budget ${parent.id} is ${parent.closed_at === null ? `for ${parent.resource}` : 'closed'}, so nothing can be opened below it.`,
        {
          fix: 'autovibe budget',
        },
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
      created_at: runtime.now(),
      closed_at: null,
    })
    .onConflict((conflict) => conflict.columns(['scope', 'scope_id', 'resource']).where('closed_at', 'is', null).doNothing())
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

/** Changes a limit. One below what is already used is accepted and blocks; the version grows with every change of the limit, not with spending. */
export async function setLimit(tx: Tx, runtime: Runtime, budgetId: BudgetId, limit: bigint, ifVersion: bigint): Promise<void> {
  if (limit < 0n) throw new AutovibeError('request.invalid', 'A budget cannot have a negative limit.')
  const [before] = await lockChain(tx, budgetId)
  if (before.version !== ifVersion) {
    throw new AutovibeError(
      'request.precondition_failed',
      `The budget ${budgetId} has changed since version ${ifVersion}: it is at version ${before.version}.`,
      {
        fix: 'Read the budget again and repeat the change with its new ETag.',
      },
    )
  }
  if (before.closed_at !== null) throw new AutovibeError('conflict.state', `The budget ${budgetId} is closed.`, { fix: 'autovibe budget' })
  await tx
    .updateTable('budgets')
    .set((eb) => ({ limit, version: eb('version', '+', 1n) }))
    .where('id', '=', budgetId)
    .execute()
  await tellChange(tx, runtime, budgetId, { change: 'limit', previous_limit: before.limit.toString() })
}

async function tellChange(tx: Tx, runtime: Runtime, budgetId: BudgetId, detail: Record<string, string>): Promise<void> {
  const chain = await readChain(tx, budgetId)
  const link: Link = chain[0]
  await recordEvent(tx, runtime, {
    type: 'budget.changed',
    ...subjectOf(chain, link),
    data: { ...describeLink(link), version: link.version.toString(), ...detail },
  })
}
