/** Makes a machine's VM: a clone under a number that was taken before the first call, so that it is never made twice. */
import { classify } from '@autovibe/core/proxmox/failures.ts'
import { vmNotes } from '@autovibe/core/proxmox/vm-names.ts'
import { ProxmoxError } from './client/errors.ts'
import { awaitTask, findLostTasks } from './client/tasks.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { isProxmox, locate, settleTask, unfinished, vmTask } from './vms.ts'

/** Numbers that others may take from under us before we give up. */
const NUMBERS_MAX = 10
/** How far the clock of a node may be behind ours, in seconds. */
const SKEW_S = 120

/** The VM is there, whole, under the number that the answer's record has. */
export async function ensureCloned(site: Site, machine: VmRecord, signal: AbortSignal): Promise<VmRecord> {
  let record = machine
  for (let attempt = 0; ; attempt += 1) {
    await settleTask(site, record, signal)
    const place = await locate(site, record.vmid, record.node, signal)
    if (place.kind === 'seen' && place.status.name === record.name)
      return place.node === record.node ? record : site.records.set(record.machine_id, { node: place.node })
    if (place.kind === 'absent') {
      try {
        return await clone(site, record, signal)
      } catch (error) {
        if (!isTaken(error)) throw error
        // Sent more than once, or its answer lost: it may be our own VM that is in the way. The next look tells.
        if (error.repeated && attempt < NUMBERS_MAX) continue
      }
    } else if (place.kind === 'hidden' && record.cloned_at !== null) {
      const isOurs = await lostCloneLeft(site, record, signal)
      if (isOurs === 'settled' && attempt < NUMBERS_MAX) continue
      if (isOurs === 'unfinished') throw unfinished(record)
    }
    if (attempt >= NUMBERS_MAX)
      throw new ProxmoxError(
        'substrate.failed',
        `Others took ${NUMBERS_MAX} numbers of the Hub's own range while it made a VM.`,
        { kind: 'taken', call: 'clone' },
        {
          fix: 'Give the Hub a range of numbers that nobody else uses: autovibe substrate show',
        },
      )
    record = await site.records.renumber(record, site.settings.vmids, await takenNumbers(site, signal))
  }
}

async function clone(site: Site, machine: VmRecord, signal: AbortSignal): Promise<VmRecord> {
  const { client, settings, hubId } = site
  return site.clones(machine.source_vmid).within(async () => {
    const record = machine.cloned_at === null ? await site.records.set(machine.machine_id, { cloned_at: new Date(client.clock.nowMs()) }) : machine
    const { source_node, source_vmid, vmid, node, name, source_snapshot } = record
    await vmTask(
      site,
      record,
      'POST /nodes/{node}/qemu/{vmid}/clone',
      {
        node: source_node,
        vmid: source_vmid,
        newid: vmid,
        pool: settings.pool,
        name,
        description: vmNotes(hubId, record.machine_id, name),
        full: false,
        ...(source_snapshot === null ? {} : { snapname: source_snapshot }),
        ...(node === source_node ? {} : { target: node }),
      },
      signal,
    )
    return record
  }, signal)
}

/** By the refusal of the request, or of its task. */
const isTaken = (error: unknown): error is ProxmoxError =>
  isProxmox(error, 'taken') ||
  (isProxmox(error, 'task failed') && classify({ status: 500, reason: '', message: error.message, errors: undefined }).kind === 'taken')

/**
 * What became of a clone whose answer was lost, of which we only see that its number is taken. `settled`: look again. `unfinished`: its worker vanished and left a VM with a
 * lock. `never`: no clone of ours was begun, so that the VM is somebody else's.
 */
async function lostCloneLeft(site: Site, record: VmRecord, signal: AbortSignal): Promise<'settled' | 'unfinished' | 'never'> {
  const known = new Set((await site.records.all()).flatMap(({ upid }) => (upid === null ? [] : [upid])))
  const sinceS = (record.cloned_at?.getTime() ?? 0) / 1000
  // Its tasks are named by their source, which parallel clones share: all of them are awaited.
  const tasks = await findLostTasks(site.client, record.source_node, { type: 'qmclone', vmid: record.source_vmid, sinceS, skewS: SKEW_S, known }, signal)
  let vanished = false
  for (const { upid } of tasks) {
    try {
      await awaitTask(site.client, upid, { signal, deadlineMs: site.patience.taskMs })
    } catch (error) {
      if (!isProxmox(error, 'task failed', 'task vanished')) throw error
      vanished ||= error.kind === 'task vanished'
    }
  }
  if ((await locate(site, record.vmid, record.node, signal)).kind !== 'hidden') return 'settled'
  return vanished ? 'unfinished' : 'never'
}

/** Numbers that others have, also those that we do not see. */
export async function takenNumbers(site: Site, signal: AbortSignal): Promise<(vmid: number) => boolean> {
  const listed = await site.client.call('GET /cluster/resources', { type: 'vm' }, { signal })
  const seen = new Set(listed.map(({ vmid }) => vmid))
  return (vmid) => seen.has(vmid)
}
