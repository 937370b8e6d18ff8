/** Starts the operation that brings a frozen checkpoint into the store. */
import type { CheckpointId } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import type { Runtime } from '../../runtime.ts'
import { enqueue } from '../engine/enqueue.ts'
import { storeCheckpoint } from '../store-checkpoint.ts'
import type { CheckpointRow } from './checkpoint-state.ts'

/** It shares the machine with whatever comes next. */
export async function enqueueStore(tx: Tx, runtime: Runtime, checkpointId: CheckpointId): Promise<void> {
  await enqueueStoreOf(
    tx,
    runtime,
    await tx.selectFrom('checkpoints').select(['id', 'project_id', 'machine_id', 'run_id']).where('id', '=', checkpointId).executeTakeFirstOrThrow(),
  )
}

/** The same for whoever has its row at hand. */
export async function enqueueStoreOf(
  tx: Tx,
  runtime: Runtime,
  { id: checkpointId, project_id: projectId, machine_id: machineId, run_id: runId }: Pick<CheckpointRow, 'id' | 'project_id' | 'machine_id' | 'run_id'>,
): Promise<void> {
  await enqueue(tx, runtime, storeCheckpoint, { checkpointId }, { projectId, machineId, runId, checkpointId })
}
