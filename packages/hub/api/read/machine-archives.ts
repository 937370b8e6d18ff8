/** Archives as the wire shows them. */
import { AutovibeError, type MachineArchive, type MachineArchiveId, type MachineArchiveQuery, type Page } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { idAfter, toPage } from '../plumbing/pages.ts'

const select = (db: Database) =>
  db.selectFrom('machine_archives as a').innerJoin('machines as m', 'm.id', 'a.machine_id').selectAll('a').select('m.name as machine_name')

type Row = Awaited<ReturnType<ReturnType<typeof select>['execute']>>[number]

/** Newest first; those that are there or on their way, and those that failed since the last of their machine that did not, unless a state is asked for. */
export async function listMachineArchives(db: Database, query: MachineArchiveQuery): Promise<Page<MachineArchive>> {
  const after = idAfter<MachineArchiveId>(query.cursor)
  let rows = select(db)
    .orderBy('a.id', 'desc')
    .limit(query.limit + 1)
  if (after !== undefined) rows = rows.where('a.id', '<', after)
  if (query.machine !== undefined) rows = rows.where('a.machine_id', '=', query.machine)
  rows = query.state === undefined ? rows.where(isToBeSeen) : rows.where('a.state', '=', query.state)
  return toPage(await rows.execute(), query.limit, toMachineArchive, (row) => row.id)
}

/** A copy that came about later is what one that failed was to be, also when it is removed by now. */
const isToBeSeen = sql<boolean>`(a.state in ('taking', 'stored', 'removing') or (a.state = 'failed' and not exists (
  select 1 from machine_archives later where later.machine_id = a.machine_id and later.id > a.id and later.stored_at is not null)))`

/** `not_found` when there is none. */
export async function readMachineArchive(db: Database, id: MachineArchiveId): Promise<MachineArchive> {
  const row = await select(db).where('a.id', '=', id).executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no archive ${id}.`, { fix: 'autovibe machine archives' })
  return toMachineArchive(row)
}

const toMachineArchive = ({ size_bytes, created_at, stored_at, looked_at, ...row }: Row): MachineArchive => ({
  id: row.id,
  project_id: row.project_id,
  machine_id: row.machine_id,
  machine_name: row.machine_name,
  checkpoint_id: row.checkpoint_id,
  state: row.state,
  state_reason: row.state_reason,
  fix: row.fix,
  verification: row.verification,
  missing: row.missing,
  storage: row.storage,
  volume: row.volume,
  size_bytes: size_bytes === null ? null : Number(size_bytes),
  created_at: created_at.toISOString(),
  stored_at: stored_at?.toISOString() ?? null,
  looked_at: looked_at?.toISOString() ?? null,
})
