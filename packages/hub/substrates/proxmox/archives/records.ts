/** The rows of our archives: written before Proxmox is asked, so that a task or a copy is found by them whatever happens in between. */
import { AutovibeError, type CheckpointId, type MachineArchiveId, type MachineId } from '@autovibe/contract'
import type { Selectable, Updateable } from 'kysely'
import type { ProxmoxArchivesTable } from '../../../database/archive-tables.ts'
import type { Database } from '../../../database/database.ts'
import type { NewArchive } from '../../archives.ts'
import type { VmRecord } from '../records.ts'

export type ArchiveRecord = Selectable<ProxmoxArchivesTable>

export class ArchiveRecords {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async find(archiveId: MachineArchiveId): Promise<ArchiveRecord | null> {
    return (await this.#db.selectFrom('proxmox_archives').selectAll().where('archive_id', '=', archiveId).executeTakeFirst()) ?? null
  }

  all(): Promise<ArchiveRecord[]> {
    return this.#db.selectFrom('proxmox_archives').selectAll().orderBy('archive_id').execute()
  }

  /** When the newest look saw one of these. */
  async lookedAt(archiveIds: readonly MachineArchiveId[]): Promise<Date | null> {
    const row = await this.#db
      .selectFrom('machine_archives')
      .select(({ fn }) => fn.max('looked_at').as('at'))
      .where('id', 'in', archiveIds)
      .executeTakeFirst()
    return row?.at ?? null
  }

  /** Of the machine, those whose copy is under way or about to be. */
  taking(machineId: MachineId): Promise<ArchiveRecord[]> {
    return this.#db.selectFrom('proxmox_archives').selectAll().where('machine_id', '=', machineId).where('state', '=', 'taking').orderBy('archive_id').execute()
  }

  /** Trees that must stay frozen until the copy has them. */
  async heldTrees(machineId: MachineId): Promise<Set<CheckpointId>> {
    return new Set((await this.taking(machineId)).map(({ checkpoint_id }) => checkpoint_id))
  }

  async begin({ archiveId, machineId, checkpointId }: NewArchive, { vmid, node }: VmRecord, storage: string): Promise<ArchiveRecord> {
    await this.#db
      .insertInto('proxmox_archives')
      .values({ archive_id: archiveId, machine_id: machineId, checkpoint_id: checkpointId, vmid, node, storage })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
    return this.#must(await this.find(archiveId))
  }

  /** One that was never begun is gone before it could be. */
  async rule({ archiveId, machineId, checkpointId }: NewArchive): Promise<void> {
    await this.#db
      .insertInto('proxmox_archives')
      .values({ archive_id: archiveId, machine_id: machineId, checkpoint_id: checkpointId, vmid: 0, node: '', storage: '', state: 'gone' })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  }

  async set(archiveId: MachineArchiveId, change: Updateable<ProxmoxArchivesTable>): Promise<ArchiveRecord> {
    const row = await this.#db.updateTable('proxmox_archives').set(change).where('archive_id', '=', archiveId).returningAll().executeTakeFirst()
    return this.#must(row ?? null)
  }

  /** Its task has ended without a copy: another may be asked for, and this one is never taken for that. */
  async taskEnded({ archive_id, upid, ended_upids, locked_tasks }: ArchiveRecord, isLocked = false): Promise<ArchiveRecord> {
    const ended = upid === null ? ended_upids : [...ended_upids, upid].slice(-ENDED_MOST)
    return this.set(archive_id, { upid: null, asked_at: null, ended_upids: ended, locked_tasks: locked_tasks + (isLocked ? 1 : 0) })
  }

  #must(row: ArchiveRecord | null): ArchiveRecord {
    if (row !== null) return row
    throw new AutovibeError('internal', 'The row of an archive is gone.')
  }
}

/** The engine gives an operation up long before. */
const ENDED_MOST = 50
