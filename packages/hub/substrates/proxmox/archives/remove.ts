/** Removes an archive: its task ended if it runs, its copy gone from the storage. Nothing is touched whose notes do not name this archive of this Hub. */
import { AutovibeError, type MachineArchiveId, type MachineId } from '@autovibe/contract'
import { copyOfTask } from '@autovibe/core/proxmox/archive-copies.ts'
import { readArchiveNotes } from '@autovibe/core/proxmox/archive-notes.ts'
import type { NewArchive } from '../../archives.ts'
import { archiveGrantLines } from '../client/privileges.ts'
import type { Site } from '../site.ts'
import { lostTask } from './lost-task.ts'
import type { ArchiveRecord } from './records.ts'
import { archiveTurn, type Copy, copiesOn, endTask, maySeeCopies, reach, removeCopy, targetOf } from './storage.ts'

/** The machine is not waited for, nor does it wait: a backup server may take its time. */
export async function removeArchive(site: Site, archive: NewArchive, signal: AbortSignal): Promise<void> {
  await site.locks.run(archiveTurn(archive.archiveId), async () => {
    signal.throwIfAborted()
    const record = await site.archives.find(archive.archiveId)
    // A call that stalled and lands after this one finds that there is nothing to take.
    if (record === null) await site.archives.rule(archive)
    else if (record.state !== 'gone') await removeRecorded(site, record, signal)
  })
}

async function removeRecorded(site: Site, record: ArchiveRecord, signal: AbortSignal): Promise<void> {
  const upid = record.upid ?? (record.state === 'taking' ? await lostTask(site, record, signal) : null)
  if (upid !== null) await endTask(site, upid, record.node, signal)
  // Proxmox was never asked for it, so that there is nothing to look for.
  if (upid !== null || record.asked_at !== null || record.ended_upids.length > 0 || record.state === 'stored')
    await removeCopies(site, { ...record, upid }, signal)
  await site.archives.set(record.archive_id, { state: 'gone', upid: null })
}

async function removeCopies(site: Site, record: ArchiveRecord, signal: AbortSignal): Promise<void> {
  const storage = await reach(site, record.storage, record.node, signal)
  const copies = await copiesOn(site, storage, record.vmid, signal)
  const known = copies.find(({ volid }) => volid === record.volid)
  if (known !== undefined && !isOurs(site, record, known)) throw othersNow(known)
  const ours = leftovers(site, record, copies, record.upid === null ? null : await targetOf(site, record.upid, record.node, signal))
  for (const copy of ours) await removeCopy(site, storage, copy, signal)
  // What is not shown may be there all the same.
  if (ours.length === 0 && record.state === 'stored' && !(await maySeeCopies(site, record.vmid, signal))) throw hidden(site, record)
}

/** All copies of this archive: a call that stalled may have made a second one. `target`: what its task says that it wrote to. */
export function leftovers(site: Pick<Site, 'hubId'>, record: ArchiveRecord, copies: readonly Copy[], target: string | null): Copy[] {
  const ours = copies.filter((copy) => isOurs(site, record, copy))
  const unnoted = ours.length > 0 || record.volid !== null ? null : copyOfTask(copies, target)
  return unnoted === null ? ours : [unnoted]
}

function isOurs({ hubId }: Pick<Site, 'hubId'>, { archive_id, machine_id }: ArchiveRecord, { notes }: Copy): boolean {
  const read = readArchiveNotes(notes)
  return read?.archiveId === archive_id && read.machineId === machine_id && read.hubId === hubId
}

const othersNow = ({ volid }: Copy): AutovibeError =>
  new AutovibeError('conflict.state', `The notes of ${volid} no longer say that it is this archive; somebody has changed them, and it is left alone.`, {
    fix: `If nobody needs it, as root on a node: pvesm free ${volid}`,
  })

/** A VM that is gone has left the pool, and with it the token has lost its say over the copies: an administrator gives it back for this one number. */
const hidden = (site: Site, { vmid, volid }: ArchiveRecord): AutovibeError =>
  new AutovibeError('substrate.failed', `Proxmox shows the Hub's token no copies of VM ${vmid}, which is gone, and so does not let it remove ${volid}.`, {
    fix: `An administrator lets it, for this number alone, on any node: ${archiveGrantLines(vmid, site.settings.archive.tokenId).join(' && ')}. Then ask again.`,
  })

/** Before the VM goes, and with it the say over its copies: whatever is being taken of it is broken off and removed. A storage that is away does not keep a machine. */
export async function abandonArchives(site: Site, machineId: MachineId, signal: AbortSignal): Promise<void> {
  for (const { archive_id: archiveId } of await site.archives.taking(machineId))
    await site.locks.run(archiveTurn(archiveId), () => abandon(site, archiveId, signal))
}

async function abandon(site: Site, archiveId: MachineArchiveId, signal: AbortSignal): Promise<void> {
  // Somebody else may have removed it, or it may have been stored, before its turn came.
  const record = await site.archives.find(archiveId)
  if (record?.state !== 'taking') return
  try {
    await removeRecorded(site, record, signal)
  } catch (error) {
    if (!(error instanceof AutovibeError && error.code === 'substrate.away')) throw error
    site.logger.warn({ machineId: record.machine_id, archiveId, err: error }, 'a copy that was being taken may be left: its storage cannot be reached')
    await site.archives.set(archiveId, { state: 'gone', upid: null })
  }
}
