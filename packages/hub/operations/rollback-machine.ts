/** Takes a machine back to a checkpoint. What it had since is saved first as a checkpoint of its own, so that a rollback can be undone too. */
import { CheckpointId, MachineId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { EnsureStep, StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { type Frozen, freezeTree, frozenRow } from './steps/checkpoint-freezing.ts'
import { changeCheckpoint } from './steps/checkpoint-state.ts'
import { enqueueStore } from './steps/checkpoint-storing.ts'
import { type EffectsTold, tellEffects } from './steps/effects-told.ts'
import { done, MACHINE_TIMEOUT_MS, machineBoots, machineFailed, machineHalted, machineRegistered, machineRuns, machineWorks } from './steps/machine-life.ts'
import { changeMachine, lockMachine, setControl } from './steps/machine-state.ts'
import { endOpenRun } from './steps/run-state.ts'

const RollbackMachine = z.object({ machineId: MachineId, to: CheckpointId, saved: CheckpointId })
type RollbackMachine = z.output<typeof RollbackMachine>
type Context<O = unknown> = StepContext<Ports, RollbackMachine, O>

export const rollbackMachine = operation('rollback-machine', RollbackMachine)
  .tx('halt', { do: haltRun, undo: leaveFailed })
  .ensure('stop', { timeoutMs: MACHINE_TIMEOUT_MS, do: done(machineHalted), undo: machineHalted })
  .ensure('save', treeSaved())
  .tx('saved', { do: keepSaved })
  .ensure('roll-back', treeRolledBack())
  .tx('head', { do: moveHead, undo: moveHeadBack })
  .tx('boot', { do: machineBoots })
  .ensure('start', machineRuns)
  .until('registered', machineRegistered)
  .ensure('effects', { do: effectsTold })
  .tx('ready', { do: machineIsBack })

async function haltRun({ input, ports }: Context, tx: Tx): Promise<null> {
  const machine = await lockMachine(tx, input.machineId)
  await endOpenRun(tx, ports.runtime, ports.ledger, input.machineId, 'cancel', `The machine was rolled back to ${input.to}.`)
  if (machine.state !== 'stopped') await setControl(tx, await changeMachine(tx, ports.runtime, machine, 'halt'), 'cancel')
  return null
}

/** The machine's tree is whole, before or after; only its power is lost. */
async function leaveFailed({ input, ports, outputs, reason }: Context<object>, tx: Tx): Promise<void> {
  if (!('saved' in outputs)) await changeCheckpoint(tx, ports.runtime, input.saved, 'failed', { state_reason: 'The rollback was undone.' })
  // A rollback that never began leaves the machine as it is.
  if ('halt' in outputs) await machineFailed(ports, tx, input.machineId, `The rollback to ${input.to} was undone: ${reason?.message ?? 'cancelled'}`)
}

function treeSaved(): EnsureStep<Ports, RollbackMachine, object, Frozen> {
  return {
    timeoutMs: MACHINE_TIMEOUT_MS,
    do: ({ input, ports, signal }) => freezeTree(ports, input.machineId, input.saved, signal),
    // Once its row says that it is there, it stays: a checkpoint like any other.
    undo: async ({ input, ports, outputs, signal }) => {
      if (!('saved' in outputs)) await ports.substrate.dropSnapshot(input.saved, signal)
    },
  }
}

async function keepSaved({ input, ports, outputs }: Context<{ save: Frozen }>, tx: Tx): Promise<null> {
  await changeCheckpoint(tx, ports.runtime, input.saved, 'capturing', frozenRow(outputs.save))
  await enqueueStore(tx, ports.runtime, input.saved)
  return null
}

function treeRolledBack(): EnsureStep<Ports, RollbackMachine, { save: Frozen }, null> {
  return {
    timeoutMs: MACHINE_TIMEOUT_MS,
    do: async ({ input, ports, signal }) => {
      const { snapshot } = await ports.db.selectFrom('checkpoints').select('snapshot').where('id', '=', input.to).executeTakeFirstOrThrow()
      await ports.substrate.rollback(input.machineId, snapshot ?? input.to, signal)
      return { done: null }
    },
    undo: async ({ input, ports, outputs, signal }) => {
      if (outputs.save) await ports.substrate.rollback(input.machineId, outputs.save.handle, signal)
    },
  }
}

async function moveHead({ input, ports }: Context, tx: Tx): Promise<{ before: CheckpointId | null }> {
  const machine = await lockMachine(tx, input.machineId)
  const notice =
    'Your files and this conversation were rolled back to an earlier checkpoint. Look at the files before you go on: what you did after that point is gone.'
  await changeMachine(tx, ports.runtime, machine, 'stop', null, { head_checkpoint_id: input.to, notice })
  return { before: machine.head_checkpoint_id }
}

async function moveHeadBack({ input }: Context, tx: Tx): Promise<void> {
  await tx.updateTable('machines').set({ head_checkpoint_id: input.saved, notice: null }).where('id', '=', input.machineId).execute()
}

/** By now what its last life had begun has been cut off and settled, so only here is it read what has been left but not undone. */
async function effectsTold({ input, outputs, ports, operationId }: Context<{ head: { before: CheckpointId | null } }>): Promise<{ done: EffectsTold }> {
  const { machineId, to } = input
  return { done: await tellEffects(ports.db, { machineId, head: outputs.head.before, to, except: operationId }) }
}

/** `effects` is missing of a rollback that was begun before there was such a step. */
async function machineIsBack(context: Context<{ effects?: EffectsTold }>, tx: Tx): Promise<EffectsTold> {
  const { input, outputs, ports, operationId } = context
  await machineWorks(context, tx)
  const { name, project_id } = await tx.selectFrom('machines').select(['name', 'project_id']).where('id', '=', input.machineId).executeTakeFirstOrThrow()
  const told: EffectsTold = outputs.effects ?? {
    effects: null,
    effects_error: { code: 'hub.data_version', message: 'The rollback was begun by an earlier version, which tells them otherwise.' },
  }
  await recordEvent(tx, ports.runtime, {
    type: 'machine.rolled_back',
    project_id,
    machine_id: input.machineId,
    operation_id: operationId,
    checkpoint_id: input.to,
    data: { name, saved: input.saved, ...told },
  })
  return told
}
