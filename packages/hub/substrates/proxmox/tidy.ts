/** What can wait is done behind everything else: VMs that nobody needs go off, remains go away, chains of snapshots stay short. */
import type { MachineId } from '@autovibe/contract'
import { isNeededOnDisk, thawable } from '@autovibe/core/proxmox/held-trees.ts'
import { keepLastUsage } from './machine-usage.ts'
import { ensureOff } from './power.ts'
import { purgeIfFree } from './purge.ts'
import type { SnapshotRecord, VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { dropVmSnapshot, surplus } from './vm-snapshots.ts'
import { isLockedForLong } from './vms.ts'

/** A guest may take its time; the others are not to wait for it. */
const MACHINE_MS = 60_000
const AT_ONCE = 4
const THAWS_MOST = 5

/** One round over all machines, a few at once. What fails is told and tried again in the next. */
export async function tidy(site: Site, signal: AbortSignal): Promise<void> {
  const waiting = (await site.records.all()).map(({ machine_id }) => machine_id)
  const worker = async (): Promise<void> => {
    for (let machineId = waiting.shift(); machineId !== undefined; machineId = waiting.shift()) {
      signal.throwIfAborted()
      const id = machineId
      try {
        await site.locks.run(id, () => tidyMachine(site, id, AbortSignal.any([signal, AbortSignal.timeout(MACHINE_MS)])))
      } catch (error) {
        signal.throwIfAborted()
        site.logger.info({ machineId: id, err: error }, 'a machine could not be tidied up; it is tried again')
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

async function tidyMachine(site: Site, machineId: MachineId, signal: AbortSignal): Promise<void> {
  const record = await site.records.find(machineId)
  if (record === null || record.state === 'making') return
  const snapshots = await site.records.snapshots(machineId)
  if (record.state === 'remains' && !(await isNeeded(site, snapshots))) return void (await purgeIfFree(site, record, signal))
  for (const snapshot of snapshots.filter(({ state }) => state === 'dropped')) await dropSnapshot(site, record, snapshot, signal)
  for (const { checkpoint_id } of await surplus(site, snapshots)) {
    if (await dropVmSnapshot(site, record, checkpoint_id, signal)) await site.records.setSnapshot(checkpoint_id, { in_vm: false })
  }
  await thawStored(site, record, snapshots, signal)
  await turnOffIdle(site, record, signal)
}

/** Whether the store still waits for a tree that only this machine's disk has. */
export async function isNeeded(site: Site, snapshots: readonly SnapshotRecord[]): Promise<boolean> {
  const taken = snapshots.filter(({ state }) => state === 'taken')
  const states = await Promise.all(taken.map(({ checkpoint_id }) => site.trees.state(checkpoint_id)))
  return states.some(isNeededOnDisk)
}

/** The row goes when both the VM's snapshot and the frozen tree are gone, as far as they can be reached. */
export async function dropSnapshot(site: Site, record: VmRecord, snapshot: SnapshotRecord, signal: AbortSignal): Promise<void> {
  const id = snapshot.checkpoint_id
  if (!(await dropVmSnapshot(site, record, id, signal))) return
  await site.links.current(record.machine_id)?.thaw(id, signal)
  await site.records.removeSnapshot(id)
}

async function thawStored(site: Site, record: VmRecord, snapshots: readonly SnapshotRecord[], signal: AbortSignal): Promise<void> {
  const guest = site.links.current(record.machine_id)
  if (guest === null || site.readers.has(record.machine_id)) return
  const { frozen } = await guest.state(signal)
  const taken = new Set(snapshots.flatMap(({ checkpoint_id, state }) => (state === 'dropped' ? [] : [checkpoint_id])))
  // Ids sort by time. What was frozen by the machine that this one was cloned from is that one's to keep; here it is only what the next capture is told against.
  const states = await Promise.all(
    frozen.toSorted().map(async (id) => {
      const state = await site.trees.state(id)
      return { id, state: isNeededOnDisk(state) && !taken.has(id) ? ('kept' as const) : state }
    }),
  )
  const held = await site.archives.heldTrees(record.machine_id)
  const thawed = thawable(states).filter((id) => id !== record.tree && !held.has(id))
  for (const id of thawed.slice(0, THAWS_MOST)) {
    // A capture may have begun meanwhile, and reads one of them.
    if (site.readers.has(record.machine_id)) return
    await guest.thaw(id, signal)
  }
}

async function turnOffIdle(site: Site, record: VmRecord, signal: AbortSignal): Promise<void> {
  const { machine_id: machineId } = record
  const neededMs = site.neededMs.get(machineId) ?? 0
  if (record.agent || site.readers.has(machineId) || site.client.clock.nowMs() - neededMs < site.patience.idleMs) return
  const status = await site.client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node: record.node, vmid: record.vmid }, { signal })
  if (status.status !== 'running' || isLockedForLong(status) || (await site.archives.taking(machineId)).length > 0) return
  await keepLastUsage(site, machineId, signal)
  await ensureOff(site, record, 'button', signal)
}
