/** Tells the machines of a project that something it has set for them is another now. */
import type { ProjectId } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import { wake } from '../engine/wake.ts'

/** Their instructions are a new document, which each of them hears of at once. The rows are locked in the order of their ids, so that two who do this do not wait for each other. */
export async function tellMachinesOf(tx: Tx, projectId: ProjectId): Promise<void> {
  const machines = await tx
    .selectFrom('machines')
    .select('id')
    .where('project_id', '=', projectId)
    .where('destroyed_at', 'is', null)
    .orderBy('id')
    .forNoKeyUpdate()
    .execute()
  if (machines.length === 0) return
  const ids = machines.map(({ id }) => id)
  await tx
    .updateTable('machines')
    .set((eb) => ({ revision: eb('revision', '+', 1n) }))
    .where('id', 'in', ids)
    .execute()
  for (const id of ids) await wake(tx, id)
}
