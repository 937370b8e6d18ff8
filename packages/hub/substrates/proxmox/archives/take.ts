/** Takes an archive: vzdump beside the running VM, asked for once under a row that was there before, looked at until it has ended, and found on the storage. */
import { AutovibeError } from '@autovibe/contract'
import { copyByNotes, copyOfTask, verificationOf } from '@autovibe/core/proxmox/archive-copies.ts'
import { backupFailure } from '@autovibe/core/proxmox/archive-failures.ts'
import { archiveNotes } from '@autovibe/core/proxmox/archive-notes.ts'
import { oneLine, saysLocked } from '@autovibe/core/proxmox/failures.ts'
import { parseUpid } from '@autovibe/core/proxmox/upid.ts'
import type { ComingArchive, NewArchive, TakenArchive } from '../../archives.ts'
import { ProxmoxError } from '../client/errors.ts'
import { awaitTask } from '../client/tasks.ts'
import type { Site } from '../site.ts'
import { guestOf } from '../trees.ts'
import { isProxmox, ownVm } from '../vms.ts'
import { lostTask } from './lost-task.ts'
import type { ArchiveRecord } from './records.ts'
import { leftovers } from './remove.ts'
import { archiveTurn, type Copy, copiesOn, endTask, logOf, type ReachedStorage, reach, removeCopy, targetOf } from './storage.ts'

type Locked = Extract<ComingArchive, { lockedBy: AutovibeError }>

/** Of Proxmox's word for what a VM is locked by. */
const LOCK_CHARACTERS = 40
/** Of one look at the task; whoever asks comes again. */
const AWAIT_MS = 2_000
/** That may vanish until the archive is given up. Those that met a lock are not among them: locks are waited for by time. */
const TASKS_MOST = 5
/** Since the archive was asked for: tasks that wait for the others of their node for three hours each would otherwise follow one another without end. */
const LOCKED_MOST_MS = 12 * 3_600_000

export async function takeArchive(site: Site, wanted: NewArchive, signal: AbortSignal): Promise<TakenArchive | ComingArchive> {
  const known = await site.archives.find(wanted.archiveId)
  if (known?.state === 'gone') throw givenUp(known)
  const begun = known ?? (await begin(site, wanted))
  const record = begun.state === 'stored' ? begun : await inTurn(site, wanted, () => asked(site, begun, signal))
  if ('lockedBy' in record) return record
  const coming = record.state === 'taking' ? await untilEnded(site, record, signal) : null
  return coming ?? found(site, record, signal)
}

/** What it needs of the machine nobody changes meanwhile, and nobody removes what is being asked for. */
const inTurn = <T>(site: Site, { machineId, archiveId }: NewArchive, work: () => Promise<T>): Promise<T> =>
  site.locks.run(machineId, () => site.locks.run(archiveTurn(archiveId), work))

const givenUp = ({ archive_id }: ArchiveRecord): AutovibeError =>
  new AutovibeError('operation.cancelled', `The archive ${archive_id} was given up.`, { fix: 'autovibe machine archives shows what there is.' })

async function begin(site: Site, wanted: NewArchive): Promise<ArchiveRecord> {
  const machine = await site.records.find(wanted.machineId)
  const { storage } = site.settings.archive
  if (machine?.state !== 'made') throw noMachine(wanted)
  if (storage === null)
    throw new AutovibeError('substrate.failed', 'The substrate has no storage for archives.', { fix: 'autovibe substrate set NAME --archive STORAGE' })
  return site.archives.begin(wanted, machine, storage)
}

const noMachine = ({ machineId }: NewArchive): AutovibeError =>
  new AutovibeError('substrate.failed', `The machine ${machineId} does not exist on this substrate.`, { fix: 'autovibe ps --all shows what became of it.' })

/** With the task that takes it: the one that is known, one whose name was lost, or a new one. */
async function asked(site: Site, begun: ArchiveRecord, signal: AbortSignal): Promise<ArchiveRecord | Locked> {
  signal.throwIfAborted()
  // Whoever had the machine until now may have given it up.
  const record = (await site.archives.find(begun.archive_id)) ?? begun
  if (record.state === 'gone') throw givenUp(record)
  if (record.upid !== null) return record
  const lost = await lostTask(site, record, signal)
  if (lost !== null) return site.archives.set(record.archive_id, { upid: lost })
  return start(site, record, signal)
}

async function start(site: Site, record: ArchiveRecord, signal: AbortSignal): Promise<ArchiveRecord | Locked> {
  const { archive_id: archiveId, machine_id: machineId, checkpoint_id: checkpointId, storage } = record
  const machine = await site.records.find(machineId)
  if (machine?.state !== 'made') throw noMachine({ archiveId, machineId, checkpointId })
  // A task would only fail for it, and be told of by whatever mail the cluster sends of failed backups.
  const lock = (await ownVm(site, machine, signal))?.status.lock
  if (lock !== undefined) return { lockedBy: lockedBy(machine.vmid, `it is locked (${oneLine(lock, LOCK_CHARACTERS)}) by somebody else's task.`) }
  const { record: vm, guest } = await guestOf(site, machine, signal)
  if (!(await guest.state(signal)).frozen.includes(checkpointId))
    throw new AutovibeError('substrate.snapshot_gone', `The tree of checkpoint ${checkpointId} is no longer frozen on the disk of the machine.`, {
      fix: `Start the machine and take another archive, which takes a checkpoint first: autovibe machine archive ${machine.name}`,
    })
  // What the storage takes is what the guest has written.
  await guest.sync(signal)
  const before = await site.archives.set(archiveId, { asked_at: new Date(site.client.clock.nowMs()), node: vm.node, vmid: vm.vmid })
  const upid = await site.client.call(
    'POST /nodes/{node}/vzdump',
    {
      node: vm.node,
      vmid: String(vm.vmid),
      storage,
      mode: 'snapshot',
      'notes-template': archiveNotes({ archiveId, machineId, checkpointId, hubId: site.hubId }),
      // Against rules of the storage's own, which know nothing of what we keep.
      protected: true,
      // What else there is of this VM is not ours to thin out.
      remove: false,
    },
    { signal },
  )
  if (parseUpid(upid) !== null) return site.archives.set(archiveId, { upid })
  await site.archives.taskEnded(before)
  throw new AutovibeError('substrate.unavailable', `The VM ${vm.vmid} moved to another node at the very moment when it was to be copied.`)
}

/** Null when the task has ended well. One that did not leaves nothing, and another may be asked for. */
async function untilEnded(site: Site, record: ArchiveRecord, signal: AbortSignal): Promise<ComingArchive | null> {
  const { upid, asked_at, vmid, node } = record
  if (upid === null) return { waitsFor: null }
  try {
    await awaitTask(site.client, upid, { signal, deadlineMs: AWAIT_MS })
    return null
  } catch (error) {
    if (!(error instanceof ProxmoxError)) throw error
    const isLate = site.client.clock.nowMs() - (asked_at?.getTime() ?? 0) >= site.patience.archiveMs
    if (!isLate && error.code === 'operation.deadline') return { waitsFor: await queueOf(site, record, upid, signal) }
    // A node that is away for minutes may copy all the same.
    if (!isLate && error.retryable && isProxmox(error, 'node unreachable', 'timed out', 'unanswered')) return { waitsFor: null }
    if (error.code === 'operation.deadline') await endTask(site, upid, node, signal)
    else if (!isProxmox(error, 'task failed', 'task vanished')) throw error
    // One that has waited in vain for the others of its node exits without a last word.
    const gaveUp = error.kind === 'task vanished' ? (await logOf(site, upid, node, signal))?.findLast(saysLocked) : undefined
    await discard(site, record, signal)
    const failed = gaveUp === undefined ? failure(vmid, error) : lockedBy(vmid, gaveUp.replace(/^ERROR: /, ''))
    const isLocked = gaveUp !== undefined || backupFailure(error.message, error.log).kind === 'locked'
    const { ended_upids, locked_tasks } = await site.archives.taskEnded(record, isLocked)
    if (isLocked && site.client.clock.nowMs() - record.created_at.getTime() < LOCKED_MOST_MS) return { lockedBy: failed }
    if (isLocked) throw lastOf(failed)
    throw ended_upids.length - locked_tasks < TASKS_MOST ? failed : lastOf(failed)
  }
}

/** What it waits for, if it is not its turn: Proxmox lets it wait for three hours. */
async function queueOf(site: Site, { node }: ArchiveRecord, upid: string, signal: AbortSignal): Promise<string | null> {
  const log = (await logOf(site, upid, node, signal)) ?? []
  const waits = log.some((line) => QUEUED.test(line)) && !log.some((line) => ITS_TURN.test(line))
  return waits ? `Another backup runs on ${node}, where Proxmox makes one at a time.` : null
}

const QUEUED = /\btrying to get global lock\b/
const ITS_TURN = /\bgot global lock\b/

function failure(vmid: number, error: ProxmoxError): AutovibeError {
  if (error.kind !== 'task failed') {
    const { message, fix, internal, code, retryable } = error
    return new AutovibeError(code, message, { fix, internal, retryable, cause: error })
  }
  const { kind, words } = backupFailure(error.message, error.log)
  if (kind === 'locked') return lockedBy(vmid, words, error)
  const fix = {
    full: 'Make room on the storage of the archives, or remove old ones: autovibe machine archives, autovibe machine remove-archive ARCHIVE',
    protected: 'Keep fewer (autovibe substrate set NAME --archives-kept 3), or let the storage have more: pvesm set STORAGE --max-protected-backups 20',
    other: error.fix,
  }[kind]
  const code = kind === 'full' ? 'substrate.disk_full' : 'substrate.failed'
  return new AutovibeError(code, `Proxmox could not copy VM ${vmid}: ${words}`, { fix, internal: error.internal, cause: error })
}

const lockedBy = (vmid: number, words: string, cause?: ProxmoxError): AutovibeError =>
  new AutovibeError('substrate.failed', `Proxmox could not copy VM ${vmid}: ${words}`, {
    fix: `See which task holds the lock (pvenode task list --source active). If none does, an administrator takes it away: qm unlock ${vmid}`,
    internal: cause?.internal,
    cause,
  })

/** So many have vanished that another would too; the row counts them, because the engine begins to count anew after each look. */
const lastOf = ({ code, message, fix, internal, cause }: AutovibeError): AutovibeError => new AutovibeError(code, message, { fix, internal, cause })

async function discard(site: Site, record: ArchiveRecord, signal: AbortSignal): Promise<void> {
  const storage = await reach(site, record.storage, record.node, signal)
  const target = record.upid === null ? null : await targetOf(site, record.upid, record.node, signal)
  for (const copy of leftovers(site, record, await copiesOn(site, storage, record.vmid, signal), target)) await removeCopy(site, storage, copy, signal)
}

/** The copy of a task that ended well, now with our notes. */
async function found(site: Site, record: ArchiveRecord, signal: AbortSignal): Promise<TakenArchive> {
  const storage = await reach(site, record.storage, record.node, signal)
  const copies = await copiesOn(site, storage, record.vmid, signal)
  const copy =
    copyByNotes(copies, { archiveId: record.archive_id, hubId: site.hubId, volid: record.volid }) ?? (await noted(site, storage, record, copies, signal))
  if (copy === null)
    throw new AutovibeError('substrate.failed', `Proxmox says that VM ${record.vmid} was copied to ${record.storage}, and shows no copy there.`, {
      fix: `Look whether it is there: pvesm list ${record.storage} --vmid ${record.vmid}`,
      retryable: true,
    })
  await site.archives.set(record.archive_id, { state: 'stored', volid: copy.volid, upid: null })
  return { volume: copy.volid, sizeBytes: copy.size, verification: verificationOf(storage.type, copy) }
}

/** Proxmox only warns when it cannot write the notes. */
async function noted(site: Site, { storage, node }: ReachedStorage, record: ArchiveRecord, copies: readonly Copy[], signal: AbortSignal): Promise<Copy | null> {
  const copy = copyOfTask(copies, record.upid === null ? null : await targetOf(site, record.upid, record.node, signal))
  if (copy === null) return null
  const { archive_id: archiveId, machine_id: machineId, checkpoint_id: checkpointId } = record
  const notes = archiveNotes({ archiveId, machineId, checkpointId, hubId: site.hubId })
  const place = { node, storage, volume: copy.volid }
  await site.client.call('PUT /nodes/{node}/storage/{storage}/content/{volume}', { ...place, notes, protected: true }, { signal, idempotent: true })
  return copy
}
