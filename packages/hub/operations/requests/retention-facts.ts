/** What decides about the checkpoints of a project, as one statement sees it: everything of one moment, so that nothing moves from one place to another between two looks. */
import {
  type CheckpointId,
  type CheckpointState,
  type CheckpointTrigger,
  DEFAULT_RETENTION,
  type MachineId,
  type ProjectId,
  type RetentionRules,
} from '@autovibe/contract'
import type { CheckpointFact } from '@autovibe/core/checkpoints/retention/lines.ts'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'

/** The newest so many are looked at, which takes about a second; about what is older nobody decides, and so it stays. Without its oldest part a line ends early, but none is left out of its middle. */
const FACTS_MAX = 200_000

interface Row {
  id: CheckpointId
  machine_id: MachineId
  machine_name: string
  parent_id: CheckpointId | null
  state: CheckpointState
  trigger: CheckpointTrigger
  source_sha256: string | null
  created_at: Date
  pinned: boolean
  bytes: bigint | null
  head_of: string | null
  used_by: string | null
}

export type StoredFact = CheckpointFact & { readonly bytes: number | null }

/** All of them, expired ones included. An operation names a checkpoint as its subject or in its input (from, to, saved, checkpointId). */
export async function readRetentionFacts(db: Database, projectId: ProjectId): Promise<StoredFact[]> {
  const { rows } = await sql<Row>`
    with heads as (
      select head_checkpoint_id as id, min(name) as name from machines
      where project_id = ${projectId} and destroyed_at is null and head_checkpoint_id is not null group by 1
    ), uses as (
      select named.id, min(o.kind) as kind from operations o
      cross join lateral (values (o.checkpoint_id), (o.input->>'from'), (o.input->>'to'), (o.input->>'saved'), (o.input->>'checkpointId')) named(id)
      where o.ended_at is null and named.id is not null group by 1
    )
    select c.id, c.machine_id, m.name as machine_name, c.parent_id, c.state, c.trigger, c.source_sha256, c.created_at, c.pinned, c.bytes,
      heads.name as head_of, uses.kind as used_by
    from checkpoints c join machines m on m.id = c.machine_id left join heads on heads.id = c.id left join uses on uses.id = c.id
    where c.project_id = ${projectId} order by c.id desc limit ${FACTS_MAX}`.execute(db)
  return rows.map((row) => ({
    id: row.id,
    machineId: row.machine_id,
    machineName: row.machine_name,
    parentId: row.parent_id,
    state: row.state,
    trigger: row.trigger,
    sourceSha256: row.source_sha256,
    createdAtMs: row.created_at.getTime(),
    pinned: row.pinned,
    bytes: row.bytes === null ? null : Number(row.bytes),
    headOf: row.head_of,
    usedBy: row.used_by,
  }))
}

/** The project's own rules, or the default ones. */
export async function readRetentionRules(db: Database, projectId: ProjectId): Promise<RetentionRules> {
  const { retention } = await db.selectFrom('projects').select('retention').where('id', '=', projectId).executeTakeFirstOrThrow()
  return retention ?? DEFAULT_RETENTION
}
