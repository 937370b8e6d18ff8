/** Spawns a machine, from nothing or from a checkpoint, and sets it to work: the seven steps from the request to the running prompt. */
import { CheckpointId, MachineId, ProjectId, RunId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { openBudgets } from './steps/budgets.ts'
import { machineBoots, machineExists, machineGone, machineRegistered, machineRuns, machineWorks, placeMachine } from './steps/machine-life.ts'
import { lockMachine } from './steps/machine-state.ts'
import { assertOpen } from './steps/run-state.ts'

const SpawnMachine = z.object({
  machineId: MachineId,
  projectId: ProjectId,
  runId: RunId.nullable(),
  /** The checkpoint whose tree it starts from; null for an empty tree. */
  from: CheckpointId.nullable(),
  limitNanoUsd: z.string(),
})
type SpawnMachine = z.output<typeof SpawnMachine>

export const spawnMachine = operation('spawn-machine', SpawnMachine)
  .tx('reserve', { do: reserveBudget, undo: machineGone })
  .tx('place', { do: placeMachine })
  .ensure('create', machineExists)
  .tx('boot', { do: machineBoots })
  .ensure('start', machineRuns)
  .until('registered', machineRegistered)
  .tx('run', { do: machineWorks })

async function reserveBudget({ input, ports }: StepContext<Ports, SpawnMachine, unknown>, tx: Tx): Promise<{ machineBudgetId: string }> {
  const { projectId, machineId, runId } = input
  await lockMachine(tx, machineId)
  if (runId) await assertOpen(tx, runId)
  const { machineBudgetId } = await openBudgets(ports, tx, { projectId, machineId, runId, limitNanoUsd: BigInt(input.limitNanoUsd) })
  return { machineBudgetId }
}
