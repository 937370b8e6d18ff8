/** Caps for a period: put into the chain right above the budget that a scope has for all its time. */
import { AutovibeError, type BudgetId } from '@autovibe/contract'
import { endOfPeriod } from '@autovibe/core/budgets/period.ts'
import type { Tx } from '../database/database.ts'
import type { Runtime } from '../runtime.ts'
import { assertLimit, columnsOf, scopeOf, setShare, tellChange } from './budgets.ts'
import { readChain } from './chain.ts'
import type { OpenCap } from './ledger.ts'

/**
 * Opens a cap above a budget, which alone gets another parent, and a new version by which the writer notices; those beneath it keep theirs. The locks go
 * from the narrowest to the widest, as everyone's.
 */
export async function openCap(tx: Tx, runtime: Runtime, budgetId: BudgetId, cap: OpenCap): Promise<BudgetId> {
  assertLimit(cap.limit)
  const [link] = await readChain(tx, budgetId)
  const scope = cap.sharePpm === undefined ? [link] : await scopeOf(tx, link)
  for (const { id } of scope) await tx.selectFrom('budgets').select('id').where('id', '=', id).forNoKeyUpdate().execute()
  const beneath = await tx.selectFrom('budgets').selectAll().where('id', '=', budgetId).executeTakeFirstOrThrow()
  if (beneath.closed_at !== null || beneath.period !== 'total') {
    throw new AutovibeError('conflict.state', `The budget ${budgetId} is ${beneath.closed_at ? 'closed' : beneath.period}, so no cap can be opened above it.`, {
      fix: 'autovibe budget',
    })
  }
  const id = runtime.newId('budget')
  const inserted = await tx
    .insertInto('budgets')
    .values({
      id,
      parent_id: beneath.parent_id,
      scope: beneath.scope,
      scope_id: beneath.scope_id,
      resource: beneath.resource,
      limit: cap.limit,
      period: cap.period,
      period_ends_at: endOfPeriod(cap.period, runtime.now()),
      share_ppm: beneath.share_ppm,
      ...columnsOf(cap),
      created_at: runtime.now(),
      closed_at: null,
    })
    .onConflict((conflict) => conflict.columns(['scope', 'scope_id', 'resource', 'period']).where('closed_at', 'is', null).doNothing())
    .returning('id')
    .executeTakeFirst()
  if (!inserted) {
    throw new AutovibeError('conflict.name_taken', `There is a ${cap.period} budget of ${beneath.resource} for this ${beneath.scope} already.`, {
      fix: 'autovibe budget',
    })
  }
  await tx
    .updateTable('budgets')
    .set((eb) => ({ parent_id: id, version: eb('version', '+', 1n) }))
    .where('id', '=', budgetId)
    .execute()
  if (cap.sharePpm !== undefined) await setShare(tx, scope, budgetId, cap.sharePpm)
  await tellChange(tx, runtime, id, { change: 'opened' })
  return id
}
