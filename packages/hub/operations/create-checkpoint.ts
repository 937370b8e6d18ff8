/** Freezes a machine's tree as a checkpoint and lets the agent go on; storing and verifying it follows behind (store-checkpoint). */
import { CheckpointId, MachineId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { EnsureStep, StepContext, UntilStep } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { type Frozen, freezeTree, frozenRow } from './steps/checkpoint-freezing.ts'
import { changeCheckpoint } from './steps/checkpoint-state.ts'
import { enqueueStore } from './steps/checkpoint-storing.ts'
import { MACHINE_TIMEOUT_MS } from './steps/machine-life.ts'
import { changeMachine, lockMachine, type MachineRow, setControl } from './steps/machine-state.ts'
import { openRunOf } from './steps/run-state.ts'

const CreateCheckpoint = z.object({
  checkpointId: CheckpointId,
  machineId: MachineId,
  /** The agent asked for it itself and waits for the answer between two tool calls. */
  quiet: z.boolean(),
})
type CreateCheckpoint = z.output<typeof CreateCheckpoint>
type Context<O = unknown> = StepContext<Ports, CreateCheckpoint, O>

/** An agent in the middle of a long command is not waited for longer than this, in ms; the checkpoint may then be fuzzy. */
const QUIET_DEADLINE_MS = 10_000

export const createCheckpoint = operation('create-checkpoint', CreateCheckpoint)
  .tx('ask', { do: askForQuiet, undo: giveUp })
  .until('quiet', agentQuiet())
  .ensure('snapshot', treeFrozen())
  .tx('resume', { do: goOn })

async function askForQuiet({ input, ports }: Context, tx: Tx): Promise<{ revision: string | null }> {
  const machine = await lockMachine(tx, input.machineId)
  await changeMachine(tx, ports.runtime, machine, 'freeze')
  const revision = input.quiet ? null : await setControl(tx, machine, 'quiesce')
  return { revision: revision?.toString() ?? null }
}

function agentQuiet(): UntilStep<Ports, CreateCheckpoint, { ask: { revision: string | null } }, { quiet: boolean }> {
  return {
    deadlineMs: QUIET_DEADLINE_MS,
    ready: async ({ input, outputs }, tx) => {
      if (outputs.ask.revision === null) return { quiet: true }
      const { quiet_revision } = await lockMachine(tx, input.machineId)
      return quiet_revision !== null && quiet_revision >= BigInt(outputs.ask.revision) ? { quiet: true } : null
    },
    atDeadline: async () => ({ quiet: false }),
  }
}

function treeFrozen(): EnsureStep<Ports, CreateCheckpoint, unknown, Frozen> {
  return {
    timeoutMs: MACHINE_TIMEOUT_MS,
    do: ({ input, ports, signal }) => freezeTree(ports, input.machineId, input.checkpointId, signal),
    // The handle of a snapshot that nobody answered for is the checkpoint's id.
    undo: ({ input, ports, signal }) => ports.substrate.dropSnapshot(input.checkpointId, signal),
  }
}

async function goOn({ input, ports, outputs }: Context<{ snapshot: Frozen }>, tx: Tx): Promise<null> {
  const machine = await lockMachine(tx, input.machineId)
  await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'capturing', frozenRow(outputs.snapshot))
  await tx.updateTable('machines').set({ head_checkpoint_id: input.checkpointId }).where('id', '=', machine.id).execute()
  await thaw(ports, tx, machine)
  await enqueueStore(tx, ports.runtime, input.checkpointId)
  return null
}

async function giveUp({ input, ports, reason }: Context, tx: Tx): Promise<void> {
  await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'failed', { state_reason: reason?.message ?? 'The checkpoint was given up.' })
  await thaw(ports, tx, await lockMachine(tx, input.machineId))
}

/** Back to what the machine's run says it should be doing. */
async function thaw({ runtime }: Ports, tx: Tx, machine: MachineRow): Promise<void> {
  if (machine.state !== 'checkpointing') return
  const run = await openRunOf(tx, machine.id)
  if (!run) await setControl(tx, await changeMachine(tx, runtime, machine, 'rest'), 'idle')
  else if (run.state === 'paused') await setControl(tx, await changeMachine(tx, runtime, machine, 'pause'), 'park')
  else await setControl(tx, await changeMachine(tx, runtime, machine, 'work'), 'go')
}
