/** Forks a checkpoint: a new machine with its files and its agent's conversation, while the old one goes on. */
import { AutovibeError, CheckpointId, MachineId, ProjectId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { openBudgets } from './steps/budgets.ts'
import { machineBoots, machineExists, machineGone, machineRegistered, machineRuns, machineWorks, placeMachine } from './steps/machine-life.ts'

const ForkCheckpoint = z.object({ machineId: MachineId, projectId: ProjectId, from: CheckpointId, limitNanoUsd: z.string() })
type ForkCheckpoint = z.output<typeof ForkCheckpoint>

export const forkCheckpoint = operation('fork-checkpoint', ForkCheckpoint)
  .tx('reserve', { do: reserveFromVerified, undo: machineGone })
  .tx('place', { do: placeMachine })
  .ensure('create', machineExists)
  .tx('boot', { do: machineBoots })
  .ensure('start', machineRuns)
  .until('registered', machineRegistered)
  .tx('ready', { do: machineWorks })

async function reserveFromVerified({ input, ports }: StepContext<Ports, ForkCheckpoint, unknown>, tx: Tx): Promise<{ machineBudgetId: string }> {
  const { state } = await tx.selectFrom('checkpoints').select('state').where('id', '=', input.from).executeTakeFirstOrThrow()
  if (state !== 'verified') {
    throw new AutovibeError('checkpoint.not_verified', `Checkpoint ${input.from} is ${state}; only a verified one can be forked.`, {
      fix: 'autovibe checkpoint list',
    })
  }
  const { projectId, machineId } = input
  const { machineBudgetId } = await openBudgets(ports, tx, { projectId, machineId, runId: null, limitNanoUsd: BigInt(input.limitNanoUsd) })
  return { machineBudgetId }
}
