/** The rows of an archive: made when it is asked for, moved on with an event. */
import type { ArchiveVerification, CheckpointId, Json, MachineArchiveId, MachineArchiveState } from '@autovibe/contract'
import { nextArchiveState } from '@autovibe/core/machines/archives.ts'
import type { Selectable } from 'kysely'
import type { MachineArchivesTable } from '../../database/archive-tables.ts'
import type { Tx } from '../../database/database.ts'
import { recordEvent } from '../../database/events.ts'
import type { Runtime } from '../../runtime.ts'
import type { MachineRow } from './machine-state.ts'

export type ArchiveRow = Selectable<MachineArchivesTable>

export async function insertArchive(tx: Tx, runtime: Runtime, machine: MachineRow, checkpointId: CheckpointId, storage: string): Promise<MachineArchiveId> {
  const id = runtime.newId('machineArchive')
  const subject = { project_id: machine.project_id, machine_id: machine.id, checkpoint_id: checkpointId }
  await tx
    .insertInto('machine_archives')
    .values({ id, ...subject, storage, created_at: runtime.now() })
    .execute()
  await recordEvent(tx, runtime, { type: 'archive.created', ...subject, data: { archive: id, storage } })
  return id
}

export const lockArchive = (tx: Tx, id: MachineArchiveId): Promise<ArchiveRow> =>
  tx.selectFrom('machine_archives').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow()

/** Asks the table of states. */
export async function changeArchive(tx: Tx, runtime: Runtime, archive: ArchiveRow, to: MachineArchiveState, more: Partial<ArchiveRow> = {}): Promise<void> {
  const state = nextArchiveState(archive.state, to)
  const { state_reason: reason = null, fix = null } = more
  await tx
    .updateTable('machine_archives')
    .set({ ...more, state, state_reason: reason, fix })
    .where('id', '=', archive.id)
    .execute()
  await tell(tx, runtime, 'archive.state_changed', archive, { state, was: archive.state, reason })
}

/** What the last look has found: told when it is another than before. */
export async function checkArchive(
  tx: Tx,
  runtime: Runtime,
  archive: ArchiveRow,
  found: { verification: ArchiveVerification; missing: boolean; sizeBytes: number | null },
): Promise<void> {
  const { verification, missing, sizeBytes } = found
  await tx
    .updateTable('machine_archives')
    .set({ verification, missing, looked_at: runtime.now(), ...(sizeBytes === null ? {} : { size_bytes: BigInt(sizeBytes) }) })
    .where('id', '=', archive.id)
    .execute()
  if (verification === archive.verification && missing === archive.missing) return
  await tell(tx, runtime, 'archive.checked', archive, { verification, was: archive.verification, missing })
}

async function tell(
  tx: Tx,
  runtime: Runtime,
  type: 'archive.state_changed' | 'archive.checked',
  archive: ArchiveRow,
  data: Record<string, Json>,
): Promise<void> {
  const { id, project_id, machine_id, checkpoint_id, storage, volume } = archive
  await recordEvent(tx, runtime, { type, project_id, machine_id, checkpoint_id, data: { archive: id, storage, volume, ...data } })
}
