/** What can wait is done behind everything else: VMs that nobody needs go off, remains go away, chains of snapshots stay short. */
import type { MachineId } from '@autovibe/contract'
import { keepLastUsage } from './observed.ts'
import { ensureOff } from './power.ts'
import { purgeIfFree } from './purge.ts'
import type { SnapshotRecord, VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { dropVmSnapshot, surplus } from './vm-snapshots.ts'

/** Frozen trees that stay on a machine's disk although the store has them, the newest: the next capture tells what changed since. */
const FROZEN_KEPT = 2

/** One round over all machines. What fails is told and tried again in the next. */
export async function tidy(site: Site, signal: AbortSignal): Promise<void> {
  for (const { machine_id } of await site.records.all()) {
    signal.throwIfAborted()
    try {
      await site.locks.run(machine_id, () => tidyMachine(site, machine_id, signal))
    } catch (error) {
      signal.throwIfAborted()
      site.logger.info({ machineId: machine_id, err: error }, 'a machine could not be tidied up; it is tried again')
    }
  }
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
  return states.includes('coming')
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
  const rows = new Map(snapshots.map((snapshot) => [snapshot.checkpoint_id, snapshot]))
  // Ids sort by time.
  const old = frozen.toSorted().slice(0, Math.max(0, frozen.length - FROZEN_KEPT))
  for (const id of old.filter((each) => each !== record.tree)) {
    const isOwn = rows.get(id)?.state === 'taken'
    if (!isOwn || (await site.trees.state(id)) !== 'coming') await guest.thaw(id, signal)
  }
}

async function turnOffIdle(site: Site, record: VmRecord, signal: AbortSignal): Promise<void> {
  const { machine_id: machineId } = record
  const neededMs = site.neededMs.get(machineId) ?? 0
  if (record.agent || site.readers.has(machineId) || site.client.clock.nowMs() - neededMs < site.patience.idleMs) return
  const { status } = await site.client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node: record.node, vmid: record.vmid }, { signal })
  if (status !== 'running') return
  await keepLastUsage(site, machineId, signal)
  await site.links.current(machineId)?.sync(signal)
  await ensureOff(site, record, 'button', signal)
}
