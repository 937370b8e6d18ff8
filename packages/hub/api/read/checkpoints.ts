/** Checkpoints as the wire shows them, and the walk along their parents. */
import { AutovibeError, type Checkpoint, type CheckpointId, type CheckpointQuery, type CheckpointTrigger, type Page } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { checkpointGone } from '../../operations/steps/checkpoint-state.ts'
import { idAfter, toPage } from '../plumbing/pages.ts'
import { toTier } from './machines.ts'

const select = (db: Database) =>
  db.selectFrom('checkpoints as c').innerJoin('machines as m', 'm.id', 'c.machine_id').selectAll('c').select('m.name as machine_name')

type Row = Awaited<ReturnType<ReturnType<typeof select>['execute']>>[number]

/** Newest first. */
export async function listCheckpoints(db: Database, query: CheckpointQuery): Promise<Page<Checkpoint>> {
  const after = idAfter<CheckpointId>(query.cursor)
  let rows = select(db)
    .orderBy('c.id', 'desc')
    .limit(query.limit + 1)
  if (after !== undefined) rows = rows.where('c.id', '<', after)
  if (query.project !== undefined) rows = rows.where('c.project_id', '=', query.project)
  if (query.machine !== undefined) rows = rows.where('c.machine_id', '=', query.machine)
  if (query.run !== undefined) rows = rows.where('c.run_id', '=', query.run)
  if (query.state !== undefined) rows = rows.where('c.state', '=', query.state)
  return toPage(await rows.execute(), query.limit, toCheckpoint, (row) => row.id)
}

/** `not_found` when there is none. */
export async function readCheckpoint(db: Database, id: CheckpointId): Promise<Checkpoint> {
  const row = await select(db).where('c.id', '=', id).executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no checkpoint ${id}.`, { fix: 'autovibe checkpoint list' })
  return toCheckpoint(row)
}

/** The same, with the SHA-256 of its manifest; `checkpoint.not_verified` unless every byte of it was read back. */
export async function readVerifiedCheckpoint(db: Database, id: CheckpointId): Promise<Checkpoint & { manifest_sha256: string }> {
  const checkpoint = await readCheckpoint(db, id)
  if (checkpoint.state === 'verified' && checkpoint.manifest_sha256 !== null) return { ...checkpoint, manifest_sha256: checkpoint.manifest_sha256 }
  if (checkpoint.state === 'expired') throw checkpointGone(checkpoint)
  throw new AutovibeError('checkpoint.not_verified', `The checkpoint ${id} is ${checkpoint.state}; only what is verified is shown.`, {
    fix: `autovibe checkpoint show ${id}`,
  })
}

/** The longest line that is followed; a longer one counts as ending there. */
const LINE_MAX = 100_000

/**
 * Where a diff starts when nobody says: the earliest verified checkpoint of trigger `start` on the line of parents that holds the same imported
 * source, else the root of the line.
 */
export async function findDiffBase(db: Database, id: CheckpointId): Promise<CheckpointId> {
  const { rows } = await sql<{ id: CheckpointId }>`
    with recursive line as (
      select id, parent_id, trigger, state, source_sha256, 0 as depth from checkpoints where id = ${id}
      union all
      select p.id, p.parent_id, p.trigger, p.state, p.source_sha256, line.depth + 1
        from line join checkpoints p on p.id = line.parent_id where line.depth < ${LINE_MAX}
    )
    select id from line
    order by (trigger = 'start' and state = 'verified' and source_sha256 is not distinct from (select source_sha256 from line where depth = 0)) desc, depth desc
    limit 1`.execute(db)
  return rows[0]?.id ?? id
}

/** The imported commit beneath a checkpoint, null where its tree came from elsewhere. */
export async function readSourceOf(db: Database, id: CheckpointId): Promise<{ commit: string; base_commit: string } | null> {
  const row = await db
    .selectFrom('checkpoints as c')
    .innerJoin('sources as s', 's.sha256', 'c.source_sha256')
    .select(['s.commit', 's.base_commit'])
    .where('c.id', '=', id)
    .executeTakeFirst()
  return row ?? null
}

function toCheckpoint(row: Row): Checkpoint {
  return {
    id: row.id,
    project_id: row.project_id,
    machine_id: row.machine_id,
    machine_name: row.machine_name,
    run_id: row.run_id,
    parent_id: row.parent_id,
    trigger: row.trigger as CheckpointTrigger,
    label: row.label,
    state: row.state,
    state_reason: row.state_reason,
    pinned: row.pinned,
    consistency: row.consistency,
    manifest_sha256: row.manifest_sha256,
    files: toNumber(row.files),
    bytes: toNumber(row.bytes),
    new_bytes: toNumber(row.new_bytes),
    step: row.step,
    spent: row.spent.toString(),
    tier: toTier(row),
    created_at: row.created_at.toISOString(),
    verified_at: row.verified_at?.toISOString() ?? null,
  }
}

const toNumber = (value: bigint | null): number | null => (value === null ? null : Number(value))
