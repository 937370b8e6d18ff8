/** Checkpoints of a machine at rest and rollbacks to them, timed from the client's request. */
import type { CheckpointId, MachineId } from '@autovibe/contract'
import type { Stage } from '../support/stage.ts'
import { assertDone } from './births.ts'

export interface Taken {
  readonly checkpointId: CheckpointId
  /** Until the tree was frozen: what the checkpoint holds is decided. */
  readonly frozenMs: number
  /** Until the machine could go on. */
  readonly resumedMs: number
  /** Until it was read back from the store and hash-checked. */
  readonly verifiedMs: number
}

export async function checkpointOnce({ client }: Stage, machineId: MachineId): Promise<Taken> {
  const askedAt = Date.now()
  const { checkpoint, operation_id } = await client.machines.checkpoint(machineId)
  const { steps, ended_at } = assertDone(await client.operations.wait(operation_id))
  const { state, verified_at } = await client.checkpoints.wait(checkpoint.id, 'verified')
  if (state !== 'verified') throw new Error(`a checkpoint became ${state}`)
  const sinceAsked = (at: string | null | undefined) => Date.parse(at ?? '') - askedAt
  return {
    checkpointId: checkpoint.id,
    frozenMs: sinceAsked(steps.find(({ name }) => name === 'snapshot')?.ended_at),
    resumedMs: sinceAsked(ended_at),
    verifiedMs: sinceAsked(verified_at),
  }
}

/** Until the machine has registered again and rests, in ms. */
export async function rollbackOnce({ client }: Stage, machineId: MachineId, checkpointId: CheckpointId): Promise<number> {
  const askedAt = Date.now()
  const { operation_id } = await client.machines.rollback(machineId, { checkpoint: checkpointId })
  const { ended_at } = assertDone(await client.operations.wait(operation_id))
  return Date.parse(ended_at ?? '') - askedAt
}
