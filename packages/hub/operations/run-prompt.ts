/** Gives a ready machine a further prompt. */
import { AutovibeError, MachineId, RunId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { assertLeft, openRunBudget } from './steps/budgets.ts'
import { machineWorks } from './steps/machine-life.ts'
import { lockMachine } from './steps/machine-state.ts'
import { assertOpen, changeRun, lockRun } from './steps/run-state.ts'

const RunPrompt = z.object({ machineId: MachineId, runId: RunId, limitNanoUsd: z.string() })
type Context = StepContext<Ports, z.output<typeof RunPrompt>, unknown>

export const runPrompt = operation('run-prompt', RunPrompt).tx('reserve', { do: reserveBudget, undo: giveBack }).tx('run', { do: machineWorks })

/** The person who asks for the run grants its budget to the machine too, within what the project has left. */
async function reserveBudget({ input, ports }: Context, tx: Tx): Promise<{ grantedNanoUsd: string }> {
  await lockMachine(tx, input.machineId)
  await assertOpen(tx, input.runId)
  const budget = await machineBudget(tx, input.machineId)
  const limitNanoUsd = BigInt(input.limitNanoUsd)
  if (budget.parent_id) await assertLeft(ports, tx, budget.parent_id, limitNanoUsd)
  await ports.ledger.changeBudget(tx, budget.id, { limit: budget.limit + limitNanoUsd }, budget.version)
  await openRunBudget(ports, tx, input.runId, budget.id, limitNanoUsd)
  return { grantedNanoUsd: input.limitNanoUsd }
}

async function giveBack(
  { input, ports, outputs, reason }: StepContext<Ports, z.output<typeof RunPrompt>, { reserve?: { grantedNanoUsd: string } }>,
  tx: Tx,
): Promise<void> {
  const run = await lockRun(tx, input.runId)
  if (run) await changeRun(tx, ports.runtime, ports.ledger, run, 'fail', reason?.message ?? 'The run could not be started.')
  if (!outputs.reserve) return
  const budget = await machineBudget(tx, input.machineId)
  const limit = budget.limit - BigInt(outputs.reserve.grantedNanoUsd)
  await ports.ledger.changeBudget(tx, budget.id, { limit: limit < 0n ? 0n : limit }, budget.version)
}

async function machineBudget(tx: Tx, machineId: MachineId) {
  const budget = await tx
    .selectFrom('budgets')
    .select(['id', 'parent_id', 'limit', 'version'])
    .where('scope', '=', 'machine')
    .where('scope_id', '=', machineId)
    .where('resource', '=', 'money')
    .where('period', '=', 'total')
    .where('closed_at', 'is', null)
    .forUpdate()
    .executeTakeFirst()
  if (!budget) throw new AutovibeError('conflict.state', `Machine ${machineId} has no open budget.`, { fix: 'Start another machine: autovibe run …' })
  return budget
}
