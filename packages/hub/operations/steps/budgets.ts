/** The budgets of a machine and its run, opened in the chain beneath their project. */
import { AutovibeError, type BudgetId, type BudgetPolicy, formatUsd, type MachineId, type ProjectId, type RunId } from '@autovibe/contract'
import { defaultHandBack } from '@autovibe/core/budgets/hand-back.ts'
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
    .where('period', '=', 'total')
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
  // What the person said of the run holds for its machine too, which has the same limit.
  const policy = runId === null ? undefined : await policyOf(tx, runId)
  const machine = { scope: 'machine', scopeId: machineId, parentId, resource: 'money', limit: limitNanoUsd, policy } as const
  const machineBudgetId = await ports.ledger.openBudget(tx, machine)
  const runBudgetId = runId && (await openRunBudget(ports, tx, runId, machineBudgetId, limitNanoUsd))
  return { machineBudgetId, runBudgetId }
}

export async function openRunBudget({ ledger }: Pick<Ports, 'ledger'>, tx: Tx, runId: RunId, parentId: BudgetId, limitNanoUsd: bigint): Promise<BudgetId> {
  const policy = await policyOf(tx, runId)
  const budgetId = await ledger.openBudget(tx, { scope: 'run', scopeId: runId, parentId, resource: 'money', limit: limitNanoUsd, policy })
  await tx.updateTable('runs').set({ budget_id: budgetId }).where('id', '=', runId).execute()
  await keepHandBack({ ledger }, tx, runId)
  return budgetId
}

/** What shall happen at the run's limit: what was asked for, or else what is set at its project's budget. */
async function policyOf(tx: Tx, runId: RunId): Promise<BudgetPolicy> {
  const run = await tx.selectFrom('runs').select(['on_limit', 'project_id']).where('id', '=', runId).executeTakeFirstOrThrow()
  if (run.on_limit !== null) return run.on_limit
  const project = await tx
    .selectFrom('budgets')
    .select('policy')
    .where('scope', '=', 'project')
    .where('scope_id', '=', run.project_id)
    .where('resource', '=', 'money')
    .where('period', '=', 'total')
    .where('closed_at', 'is', null)
    .executeTakeFirst()
  return project?.policy ?? 'park'
}

/** Sets aside what the run may spend on handing its work back, as far as there is something left; nothing for a run that is not to be wound down. */
export async function keepHandBack({ ledger }: Pick<Ports, 'ledger'>, tx: Tx, runId: RunId): Promise<void> {
  const run = await tx
    .selectFrom('runs')
    .innerJoin('budgets', 'budgets.id', 'runs.budget_id')
    .select(['runs.project_id', 'runs.machine_id', 'runs.hand_back', 'budgets.id as budget_id', 'budgets.limit', 'budgets.policy', 'budgets.closed_at'])
    .where('runs.id', '=', runId)
    .executeTakeFirst()
  if (run?.policy !== 'wind-down' || run.closed_at !== null) return
  const amount = run.hand_back ?? defaultHandBack(run.limit)
  await ledger.setAside(tx, { budgetId: run.budget_id, subject: { projectId: run.project_id, machineId: run.machine_id, runId }, amount })
}

export async function assertLeft({ ledger }: Pick<Ports, 'ledger'>, tx: Tx, budgetId: BudgetId, amountNanoUsd: bigint): Promise<void> {
  const left = await ledger.available(budgetId, tx)
  if (left >= amountNanoUsd) return
  throw new AutovibeError('budget.insufficient', `The project has ${formatUsd(left)} left; ${formatUsd(amountNanoUsd)} was asked for.`, {
    fix: 'Ask for less with --budget, or raise the project budget: autovibe budget set PROJECT AMOUNT',
  })
}
