/** Freezes a machine's tree as a checkpoint and lets the agent go on; storing and verifying it follows behind (store-checkpoint). */
import { CheckpointId, MachineId, type RunState } from '@autovibe/contract'
import { z } from 'zod'
import { along } from '../database/along.ts'
import type { Tx } from '../database/database.ts'
import { eventRows } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'
import type { EnsureStep, StepContext, UntilStep } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { type Frozen, freezeTree, frozenRow } from './steps/checkpoint-freezing.ts'
import { changeCheckpoint, movingCheckpoint } from './steps/checkpoint-state.ts'
import { enqueueStoreOf } from './steps/checkpoint-storing.ts'
import { MACHINE_TIMEOUT_MS } from './steps/machine-life.ts'
import { type Also, changeMachineUnheard, lockMachine, type MachineRow, setControl, turnMachine } from './steps/machine-state.ts'

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
  // An agent that waits for its answer has nothing to hear, and whatever is woken now would keep it waiting.
  await changeMachineUnheard(tx, ports.runtime, machine, 'freeze')
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
  const { runtime } = ports
  const machine = await lockMachine(tx, input.machineId)
  const { runState, ...row } = await tx
    .selectFrom('checkpoints')
    .selectAll()
    .select(openRunState(tx, input.machineId))
    .where('id', '=', input.checkpointId)
    .executeTakeFirstOrThrow()
  const { moving, news } = movingCheckpoint(tx, row, 'capturing', frozenRow(outputs.snapshot))
  const head = { head_checkpoint_id: input.checkpointId }
  if (machine.state === 'checkpointing') await thaw(runtime, tx, machine, runState, head, { statements: [moving], news: [news] })
  else await eventRows(along(tx, moving, tx.updateTable('machines').set(head).where('id', '=', machine.id)), runtime, [news]).execute()
  await enqueueStoreOf(tx, runtime, row)
  return null
}

async function giveUp({ input, ports, reason }: Context, tx: Tx): Promise<void> {
  await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'failed', { state_reason: reason?.message ?? 'The checkpoint was given up.' })
  const machine = await lockMachine(tx, input.machineId)
  if (machine.state !== 'checkpointing') return
  const { runState } = await tx.selectNoFrom(openRunState(tx, machine.id)).executeTakeFirstOrThrow()
  await thaw(ports.runtime, tx, machine, runState)
}

/** Read without a lock of its own: whoever changes a run has locked its machine first, or has it by an operation of its own; and the agent's last words may hold it just now. */
const openRunState = (tx: Tx, machineId: MachineId) =>
  tx.selectFrom('runs').select('runs.state').where('runs.machine_id', '=', machineId).where('runs.ended_at', 'is', null).as('runState')

/** Back to what the machine's run says it should be doing. */
async function thaw(
  runtime: Runtime,
  tx: Tx,
  machine: MachineRow,
  runState: RunState | null,
  more: { head_checkpoint_id?: CheckpointId } = {},
  also: Also = {},
): Promise<void> {
  if (runState === null) await turnMachine(tx, runtime, machine, 'rest', 'idle', more, also)
  else if (runState === 'paused') await turnMachine(tx, runtime, machine, 'pause', 'park', more, also)
  else await turnMachine(tx, runtime, machine, 'work', 'go', more, also)
}
