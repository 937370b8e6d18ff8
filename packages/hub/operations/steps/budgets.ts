/** The budgets of a machine and its run, opened in the chain beneath their project. */
import { AutovibeError, type BudgetId, formatUsd, type MachineId, type ProjectId, type RunId } from '@autovibe/contract'
import { UNLIMITED } from '@autovibe/core/budgets/unlimited.ts'
import type { Tx } from '../../database/database.ts'
import type { Ports } from '../ports.ts'

/** The project's open money budget, opened without a limit when it has none yet, beneath the organisation's. */
export async function projectBudget({ ledger }: Pick<Ports, 'ledger'>, tx: Tx, projectId: ProjectId): Promise<BudgetId> {
  const open = await tx
    .selectFrom('budgets')
    .select('id')
    .where('scope', '=', 'project')
    .where('scope_id', '=', projectId)
    .where('resource', '=', 'money')
    .where('closed_at', 'is', null)
    .executeTakeFirst()
  // As a rule it is there: every run after the first of a project is asked for on this path.
  if (open) return open.id
  const organisation = await ledger.openBudget(tx, { scope: 'organisation', scopeId: 'organisation', parentId: null, resource: 'money', limit: UNLIMITED })
  return ledger.openBudget(tx, { scope: 'project', scopeId: projectId, parentId: organisation, resource: 'money', limit: UNLIMITED })
}

/**
 * The resource budget check of a spawn: opens the machine's budget with this limit, and the run's beneath it. Throws `budget.insufficient` when the
 * project has less left than that.
 */
export async function openBudgets(
  ports: Pick<Ports, 'ledger'>,
  tx: Tx,
  { projectId, machineId, runId, limitNanoUsd }: { projectId: ProjectId; machineId: MachineId; runId: RunId | null; limitNanoUsd: bigint },
): Promise<{ machineBudgetId: BudgetId; runBudgetId: BudgetId | null }> {
  const parentId = await projectBudget(ports, tx, projectId)
  await assertLeft(ports, tx, parentId, limitNanoUsd)
  const machineBudgetId = await ports.ledger.openBudget(tx, { scope: 'machine', scopeId: machineId, parentId, resource: 'money', limit: limitNanoUsd })
  const runBudgetId = runId && (await openRunBudget(ports, tx, runId, machineBudgetId, limitNanoUsd))
  return { machineBudgetId, runBudgetId }
}

export async function openRunBudget({ ledger }: Pick<Ports, 'ledger'>, tx: Tx, runId: RunId, parentId: BudgetId, limitNanoUsd: bigint): Promise<BudgetId> {
  const budgetId = await ledger.openBudget(tx, { scope: 'run', scopeId: runId, parentId, resource: 'money', limit: limitNanoUsd })
  await tx.updateTable('runs').set({ budget_id: budgetId }).where('id', '=', runId).execute()
  return budgetId
}

export async function assertLeft({ ledger }: Pick<Ports, 'ledger'>, tx: Tx, budgetId: BudgetId, amountNanoUsd: bigint): Promise<void> {
  const left = await ledger.available(budgetId, tx)
  if (left >= amountNanoUsd) return
  throw new AutovibeError('budget.insufficient', `The project has ${formatUsd(left)} left; ${formatUsd(amountNanoUsd)} was asked for.`, {
    fix: 'Ask for less with --budget, or raise the project budget: autovibe budget set PROJECT AMOUNT',
  })
}
