/** Lets go, from time to time, what the rules of each project do not keep. */
import type { ProjectId } from '@autovibe/contract'
import type { EngineLog } from '../operations/engine/context.ts'
import { expireCheckpoints } from '../operations/expire-checkpoints.ts'
import type { Ports } from '../operations/ports.ts'
import { enqueueExpiry, planRetention } from '../operations/requests/retention.ts'
import { readRetentionRules } from '../operations/requests/retention-facts.ts'

export const RETENTION_LOOK_EVERY_MS = 60 * 60 * 1000
const PROJECTS_AT_ONCE = 100

/** One look at every project. What fails in one does not keep the others from being looked at. */
export async function applyRetention(ports: Ports, log: EngineLog): Promise<void> {
  for (let after = '' as ProjectId; ; ) {
    const ids = await ports.db.selectFrom('projects').select('id').where('id', '>', after).orderBy('id').limit(PROJECTS_AT_ONCE).execute()
    for (const { id } of ids)
      await lookAt(ports, log, id).catch((err: unknown) => log.error({ err, project: id }, 'the checkpoints of a project could not be looked at'))
    const last = ids.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

async function lookAt({ db, runtime }: Ports, log: EngineLog, projectId: ProjectId): Promise<void> {
  const underWay = await db
    .selectFrom('operations')
    .select('id')
    .where('project_id', '=', projectId)
    .where('kind', '=', expireCheckpoints.kind)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  // One that is stuck waits for a person; until then nothing more is begun.
  if (underWay) return
  const rules = await readRetentionRules(db, projectId)
  const plan = await planRetention(db, projectId, rules, runtime.now().getTime())
  const operations = await db.transaction().execute((tx) => enqueueExpiry(tx, runtime, projectId, rules, plan))
  if (operations.length > 0) log.info({ project: projectId, operations }, 'checkpoints that no rule keeps are let go')
}
