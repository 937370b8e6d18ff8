/** Freezes a machine's tree as a snapshot, and says from when on it stood still. */
import type { CheckpointId, MachineId } from '@autovibe/contract'
import type { Ports } from '../ports.ts'

/** What the step that freezes hands on. */
export type Frozen = { handle: string; consistency: 'consistent' | 'fuzzy'; frozenAt?: string }

/** The time is taken before, because what happens while the tree is frozen may not be in it. When the step is done again, its agent has been waiting since. */
export async function freezeTree(
  { runtime, substrate }: Ports,
  machineId: MachineId,
  checkpointId: CheckpointId,
  signal: AbortSignal,
): Promise<{ done: Frozen }> {
  const frozenAt = runtime.now().toISOString()
  return { done: { ...(await substrate.snapshot(machineId, checkpointId, signal)), frozenAt } }
}

/** The same as columns of the checkpoint's row; a step that an older Hub has done does not say when. */
export const frozenRow = ({ handle, consistency, frozenAt }: Frozen) => ({
  snapshot: handle,
  consistency,
  frozen_at: frozenAt === undefined ? null : new Date(frozenAt),
})
