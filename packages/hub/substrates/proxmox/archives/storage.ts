/** The storage of archives: reached over a node that is up, asked for the copies of VMs, and rid of one. */
import { AutovibeError, type MachineArchiveId } from '@autovibe/contract'
import { targetOfLog } from '@autovibe/core/proxmox/archive-copies.ts'
import type { AnswerOf } from '../client/endpoints.ts'
import { awaitTask, runTask } from '../client/tasks.ts'
import type { Site } from '../site.ts'
import { isProxmox } from '../vms.ts'

export type Copy = AnswerOf<'GET /nodes/{node}/storage/{storage}/content'>[number]

/** Whoever takes or removes an archive has it for itself; whoever has the machine may ask for it, and never the other way round. */
export const archiveTurn = (archiveId: MachineArchiveId): string => `archive ${archiveId}`

export interface ReachedStorage {
  readonly storage: string
  readonly node: string
  readonly type: string
  /** Every node sees the same. */
  readonly shared: boolean
}

/** Over the preferred node, or another where all see the same. */
export async function reach(site: Site, storage: string, preferred: string, signal: AbortSignal): Promise<ReachedStorage> {
  const listed = await site.client.call('GET /nodes', {}, { signal })
  const online = listed.filter(({ status }) => status === 'online').map(({ node }) => node)
  const wanted = [...online.filter((node) => node === preferred), ...online.filter((node) => node !== preferred)]
  for (const node of wanted) {
    const found = await storageOn(site, storage, node, signal)
    if (found !== null && (found.shared || node === preferred)) return found
  }
  // Waited for, however long a copy took that would be thrown away otherwise.
  throw new AutovibeError('substrate.away', `The storage ${storage} of the archives cannot be reached over any node that is up.`, {
    fix: 'autovibe substrate probe tells what is wrong with it.',
  })
}

async function storageOn(site: Site, storage: string, node: string, signal: AbortSignal): Promise<ReachedStorage | null> {
  try {
    const storages = await site.client.call('GET /nodes/{node}/storage', { node }, { signal })
    const found = storages.find((each) => each.storage === storage && each.enabled !== false && each.active !== false)
    return found === undefined ? null : { storage, node, type: found.type, shared: found.shared === true }
  } catch (error) {
    // The cluster has not noticed yet that it is down, or it has a storage that hangs; another may see this one.
    if (isProxmox(error, 'node unreachable', 'timed out', 'unanswered')) return null
    throw error
  }
}

/** Those that the token may see, of one VM or of all. */
export async function copiesOn(site: Site, { storage, node }: ReachedStorage, vmid: number | undefined, signal: AbortSignal): Promise<Copy[]> {
  const listed = await site.client.call(
    'GET /nodes/{node}/storage/{storage}/content',
    { node, storage, content: 'backup', ...(vmid === undefined ? {} : { vmid }) },
    { signal },
  )
  return vmid === undefined ? listed : listed.filter((copy) => copy.vmid === vmid)
}

/** What it takes for our own is decided by whoever calls. */
export async function removeCopy(site: Site, { storage, node }: ReachedStorage, copy: Copy, signal: AbortSignal): Promise<void> {
  const place = { node, storage, volume: copy.volid }
  if (copy.protected === true)
    await site.client.call('PUT /nodes/{node}/storage/{storage}/content/{volume}', { ...place, protected: false }, { signal, idempotent: true })
  const isGone = async (): Promise<boolean> =>
    !(await copiesOn(site, { storage, node, type: '', shared: false }, copy.vmid, signal)).some(({ volid }) => volid === copy.volid)
  try {
    await runTask(site.client, 'DELETE /nodes/{node}/storage/{storage}/content/{volume}', place, {
      signal,
      deadlineMs: site.patience.taskMs,
      // Nothing is lost with it: whoever comes again looks whether the copy is there.
      started: async () => undefined,
    })
  } catch (error) {
    if (isProxmox(error) && (await isGone())) return
    throw error
  }
}

/** Whether the token would be shown the copies of this VM, if there were any: Proxmox shows them to whoever may make them, and on a VM that is gone nobody may but root. */
export async function maySeeCopies(site: Site, vmid: number, signal: AbortSignal): Promise<boolean> {
  const path = `/vms/${vmid}`
  const held = await site.client.call('GET /access/permissions', { path }, { signal })
  return held[path]?.['VM.Backup'] !== undefined
}

/** What a task of vzdump says that it writes to; null when it has not come so far, or its log is gone. */
export async function targetOf(site: Site, upid: string, node: string, signal: AbortSignal): Promise<string | null> {
  const log = await logOf(site, upid, node, signal)
  return log === null ? null : targetOfLog(log)
}

/** The first lines of what a task says; null when its log is gone. */
export async function logOf(site: Site, upid: string, node: string, signal: AbortSignal): Promise<readonly string[] | null> {
  try {
    const lines = await site.client.call('GET /nodes/{node}/tasks/{upid}/log', { node, upid, start: 0, limit: LOG_LINES }, { signal })
    return lines.map(({ t }) => t)
  } catch (error) {
    if (!isProxmox(error, 'absent', 'parameters', 'failed')) throw error
    site.logger.info({ upid, err: error }, 'the log of a task that took an archive is gone, and with it the name of what it wrote')
    return null
  }
}

/** It is said before anything of the copy's progress. */
const LOG_LINES = 200

/** Ends a task of ours, if it runs. How it ended shows in what it left. */
export async function endTask(site: Site, upid: string, node: string, signal: AbortSignal): Promise<void> {
  try {
    await site.client.call('DELETE /nodes/{node}/tasks/{upid}', { node, upid }, { signal, idempotent: true })
    await awaitTask(site.client, upid, { signal, deadlineMs: site.patience.taskMs })
  } catch (error) {
    // Forgotten with its node's restart, or ended otherwise than well: either way it does nothing more.
    if (!isProxmox(error, 'task failed', 'task vanished', 'parameters', 'absent')) throw error
    site.logger.info({ upid, err: error }, 'a task that took an archive was ended')
  }
}
