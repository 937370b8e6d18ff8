/** What a person does with an operation that could not be undone, and what a start does about operations it does not know. */
import { AutovibeError, type OperationId } from '@autovibe/contract'
import type { Database, Tx } from '../../database/database.ts'
import type { Runtime } from '../../runtime.ts'
import type { Registry } from './define.ts'
import { wake } from './wake.ts'

/** Lets the undo be tried again from the step where it got stuck. */
export async function retryStuck(tx: Tx, runtime: Runtime, operationId: OperationId): Promise<void> {
  const { numUpdatedRows } = await tx
    .updateTable('operations')
    .set({ state: 'unwinding', step_attempts: 0, wake_at: runtime.now() })
    .where('id', '=', operationId)
    .where('state', '=', 'stuck')
    .executeTakeFirst()
  if (numUpdatedRows === 0n)
    throw new AutovibeError('conflict.state', 'Only an operation that is stuck can be tried again.', { fix: `autovibe operation show ${operationId}` })
  await wake(tx, operationId)
}

/** Refuses to start (`hub.data_version`) when an unfinished operation names a kind or step that this version does not have. */
export async function assertKnownSteps(db: Database, registry: Registry): Promise<void> {
  const unfinished = await db.selectFrom('operations').select(['id', 'kind', 'steps']).where('ended_at', 'is', null).execute()
  for (const { id, kind, steps } of unfinished) {
    const known = new Set(registry.get(kind)?.steps.map((step) => step.name))
    const unknown = steps.find((step) => !known.has(step))
    if (unknown === undefined && known.size > 0) continue
    throw new AutovibeError('hub.data_version', `The unfinished operation ${id} (${kind}) has a step that this version does not know: ${unknown ?? kind}.`, {
      fix: 'Start the version of autovibe that began it, let the operation end, then upgrade.',
    })
  }
}
