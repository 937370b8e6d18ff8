/** Plans of retention and sizes of stores as the wire shows them. */
import type { ProjectId, ProjectStorage, RetentionPlan } from '@autovibe/contract'
import type { CheckpointStore } from '../../checkpoints/store.ts'
import type { Database } from '../../database/database.ts'
import type { Plan } from '../../operations/requests/retention.ts'

/** Those of one verdict: how many, and the newest of them. */
export function toRetained(plan: Plan, verdict: 'keep' | 'expire', limit: number): RetentionPlan['keep'] {
  const all = plan.filter((decision) => decision.verdict === verdict)
  return {
    total: all.length,
    items: all.slice(0, limit).map(({ fact, reasons }) => ({
      id: fact.id,
      machine_name: fact.machineName,
      created_at: new Date(fact.createdAtMs).toISOString(),
      bytes: fact.bytes,
      reasons: [...reasons],
    })),
  }
}

export async function readProjectStorage(db: Database, store: CheckpointStore, projectId: ProjectId): Promise<ProjectStorage> {
  const { count, bytes } = await db
    .selectFrom('checkpoints')
    .select((eb) => [eb.fn.countAll<bigint>().as('count'), eb.fn.sum<string | null>('bytes').as('bytes')])
    .where('project_id', '=', projectId)
    .where('state', '=', 'verified')
    .executeTakeFirstOrThrow()
  const { storedBytes, uniqueBytes } = await store.of(projectId).size()
  return { project_id: projectId, checkpoints: Number(count), logical_bytes: Number(bytes ?? 0), unique_bytes: uniqueBytes, stored_bytes: storedBytes }
}
