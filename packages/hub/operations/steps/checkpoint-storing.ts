/** Starts the operation that brings a frozen checkpoint into the store. */
import type { CheckpointId } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import type { Runtime } from '../../runtime.ts'
import { enqueue } from '../engine/enqueue.ts'
import { storeCheckpoint } from '../store-checkpoint.ts'

/** It shares the machine with whatever comes next. */
export async function enqueueStore(tx: Tx, runtime: Runtime, checkpointId: CheckpointId): Promise<void> {
  const { project_id, machine_id, run_id } = await tx
    .selectFrom('checkpoints')
    .select(['project_id', 'machine_id', 'run_id'])
    .where('id', '=', checkpointId)
    .executeTakeFirstOrThrow()
  await enqueue(tx, runtime, storeCheckpoint, { checkpointId }, { projectId: project_id, machineId: machine_id, runId: run_id, checkpointId })
}
