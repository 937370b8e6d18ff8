/** One VM in Proxmox: where it is, whether it is ours, and its tasks, each recorded before it is asked after. */
import { AutovibeError } from '@autovibe/contract'
import type { AnswerOf, ParametersOf, TaskEndpointName } from './client/endpoints.ts'
import { ProxmoxError } from './client/errors.ts'
import { awaitTask, runTask } from './client/tasks.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'

export type VmStatus = AnswerOf<'GET /nodes/{node}/qemu/{vmid}/status/current'>

export type Place =
  | { readonly kind: 'seen'; readonly node: string; readonly status: VmStatus }
  /** The number is taken by a VM that our token does not show: somebody else's, or a clone of ours that is not finished. */
  | { readonly kind: 'hidden' }
  | { readonly kind: 'absent' }

export const isProxmox = (error: unknown, ...kinds: readonly ProxmoxError['kind'][]): error is ProxmoxError =>
  error instanceof ProxmoxError && (kinds.length === 0 || kinds.includes(error.kind))

/** Where the VM of this number is, first looked for on the node where it was last. A VM that moved is found by what the cluster says. */
export async function locate(site: Site, vmid: number, node: string, signal: AbortSignal): Promise<Place> {
  let unreachable: unknown
  try {
    const here = await statusOn(site, vmid, node, signal)
    if (here !== null) return { kind: 'seen', node, status: here }
  } catch (error) {
    // The VM may have been moved off a node that died.
    if (!isProxmox(error, 'node unreachable', 'timed out')) throw error
    unreachable = error
  }
  const listed = await site.client.call('GET /cluster/resources', { type: 'vm' }, { signal })
  const elsewhere = listed.find((each) => each.vmid === vmid)?.node
  if (unreachable !== undefined && (elsewhere === undefined || elsewhere === node)) throw unreachable
  const status = elsewhere === undefined ? null : await statusOn(site, vmid, elsewhere, signal)
  if (elsewhere !== undefined && status !== null) return { kind: 'seen', node: elsewhere, status }
  return (await isFree(site, vmid, signal)) ? { kind: 'absent' } : { kind: 'hidden' }
}

/** Null where the node has no such VM that we may see. A node that does not answer is an error: what is on it is not known. */
async function statusOn(site: Site, vmid: number, node: string, signal: AbortSignal): Promise<VmStatus | null> {
  try {
    return await site.client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node, vmid }, { signal })
  } catch (error) {
    // On a VM that is not there the token has no rights either.
    if (isProxmox(error, 'absent', 'forbidden')) return null
    throw error
  }
}

export async function isFree(site: Pick<Site, 'client'>, vmid: number, signal: AbortSignal): Promise<boolean> {
  try {
    await site.client.call('GET /cluster/nextid', { vmid }, { signal })
    return true
  } catch (error) {
    if (isProxmox(error, 'parameters', 'taken')) return false
    throw error
  }
}

/** The machine's VM, for whoever is about to change it; null when it is not there. Throws rather than let anybody touch a VM of somebody else. */
export async function ownVm(site: Site, record: VmRecord, signal: AbortSignal): Promise<{ readonly record: VmRecord; readonly status: VmStatus } | null> {
  await settleTask(site, record, signal)
  const place = await locate(site, record.vmid, record.node, signal)
  if (place.kind === 'absent') return null
  if (place.kind === 'hidden') {
    if (record.cloned_at === null) return null
    throw unfinished(record)
  }
  if (place.status.name !== record.name)
    throw new AutovibeError(
      'substrate.failed',
      `VM ${record.vmid} is ${place.status.name ?? 'without a name'}, not ${record.name}: it is somebody else's, and is left alone.`,
      {
        fix: `See whose it is: qm config ${record.vmid}. Give the Hub a range of numbers that nobody else uses.`,
      },
    )
  const moved = place.node === record.node ? record : await site.records.set(record.machine_id, { node: place.node })
  return { record: moved, status: place.status }
}

/** A copy of the whole VM, or its move to another node, keeps everybody from changing it for what may be hours: nobody waits for that who can do without. */
export const isLockedForLong = ({ lock }: VmStatus): boolean => lock === 'backup' || lock === 'migrate'

/** A clone whose worker vanished keeps a lock that no token can take away. */
export const unfinished = (record: VmRecord): AutovibeError =>
  new AutovibeError(
    'substrate.failed',
    `The clone of VM ${record.vmid} on ${record.node} was never finished, and Proxmox lets nobody but root remove what is left of it.`,
    {
      fix: `As root on ${record.node}, if no task works on it (pvenode task list --source active): qm unlock ${record.vmid} && qm destroy ${record.vmid} --purge`,
    },
  )

export async function mustBeThere(site: Site, record: VmRecord, signal: AbortSignal): Promise<{ readonly record: VmRecord; readonly status: VmStatus }> {
  const found = await ownVm(site, record, signal)
  if (found !== null) return found
  throw new AutovibeError('substrate.failed', `The VM ${record.vmid} of the machine is gone from Proxmox.`, {
    fix: `Fork the machine's last checkpoint, then destroy it: autovibe destroy ${record.machine_id}`,
  })
}

/** Runs one task of this VM to its end. Its UPID is on the row before it is asked after, and stays there as long as its end is not known. */
export async function vmTask<N extends TaskEndpointName>(
  site: Site,
  record: VmRecord,
  name: N,
  parameters: ParametersOf<N>,
  signal: AbortSignal,
): Promise<void> {
  let upid = ''
  const started = async (named: string): Promise<void> => {
    upid = named
    await site.records.set(record.machine_id, { upid })
  }
  try {
    await runTask(site.client, name, parameters, { signal, deadlineMs: site.patience.taskMs, started })
  } catch (error) {
    if (isProxmox(error, 'task failed', 'task vanished')) await site.records.taskEnded(record.machine_id, upid)
    throw error
  }
  await site.records.taskEnded(record.machine_id, upid)
}

/** Awaits what an earlier attempt left running; how it ended shows in what it left. */
export async function settleTask(site: Site, record: VmRecord, signal: AbortSignal): Promise<void> {
  if (record.upid === null) return
  try {
    await awaitTask(site.client, record.upid, { signal, deadlineMs: site.patience.taskMs })
  } catch (error) {
    if (!isProxmox(error, 'task failed', 'task vanished')) throw error
    site.logger.warn({ machineId: record.machine_id, err: error }, 'a task of an earlier attempt did not end well')
  }
  await site.records.taskEnded(record.machine_id, record.upid)
}

/** Done when `isSo` says so, before or after the attempt: a refusal may only mean that an attempt whose answer was lost has done it. */
export async function achieve(isSo: () => Promise<boolean>, act: () => Promise<void>): Promise<void> {
  if (await isSo()) return
  try {
    await act()
  } catch (error) {
    if (error instanceof ProxmoxError && (await isSo())) return
    throw error
  }
}
