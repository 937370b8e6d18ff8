/** Proxmox's own snapshots of whole VMs, one for each checkpoint: taken, dropped, gone back to, and never more than the chain may have. */
import type { CheckpointId } from '@autovibe/contract'
import { isNeededOnDisk } from '@autovibe/core/proxmox/held-trees.ts'
import { whileOff } from './power.ts'
import type { SnapshotRecord, VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { achieve, isLockedForLong, isProxmox, mustBeThere, ownVm, vmTask } from './vms.ts'

/** False where this VM's storage cannot, or while the whole VM is copied or moved: then the guest's frozen tree and the store are all there is. */
export async function takeVmSnapshot(site: Site, machine: VmRecord, checkpointId: CheckpointId, signal: AbortSignal): Promise<boolean> {
  const { record, status } = await mustBeThere(site, machine, signal)
  if (isLockedForLong(status)) return false
  const { node, vmid } = record
  const { hasFeature } = await site.client.call('GET /nodes/{node}/qemu/{vmid}/feature', { node, vmid, feature: 'snapshot' }, { signal })
  if (!hasFeature) return false
  await achieve(
    () => hasVmSnapshot(site, record, checkpointId, signal),
    () =>
      vmTask(
        site,
        record,
        'POST /nodes/{node}/qemu/{vmid}/snapshot',
        { node, vmid, snapname: checkpointId, description: `autovibe checkpoint of ${record.name}`, vmstate: site.settings.withMemory },
        signal,
      ),
  )
  return true
}

/** Whole: one that is being taken or dropped holds the VM's lock. */
async function hasVmSnapshot(site: Site, { node, vmid }: VmRecord, checkpointId: CheckpointId, signal: AbortSignal): Promise<boolean> {
  const listed = await site.client.call('GET /nodes/{node}/qemu/{vmid}/snapshot', { node, vmid }, { signal })
  if (!listed.some(({ name }) => name === checkpointId)) return false
  const { lock } = await site.client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node, vmid }, { signal })
  return lock === undefined
}

/** False while clones grow out of it and hold it fast, or the whole VM is copied or moved; it is tried again then. */
export async function dropVmSnapshot(site: Site, machine: VmRecord, checkpointId: CheckpointId, signal: AbortSignal): Promise<boolean> {
  const found = await ownVm(site, machine, signal)
  if (found === null) return true
  if (isLockedForLong(found.status)) return false
  const { record } = found
  const { node, vmid } = record
  if (await site.records.hasClones(vmid, checkpointId, site.clonesHold ? 'any' : 'making')) return false
  const isGone = async (): Promise<boolean> => {
    const listed = await site.client.call('GET /nodes/{node}/qemu/{vmid}/snapshot', { node, vmid }, { signal })
    return !listed.some(({ name }) => name === checkpointId)
  }
  await achieve(isGone, () => vmTask(site, record, 'DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname}', { node, vmid, snapname: checkpointId }, signal))
  return true
}

/** The whole VM, off, as it was. False where the storage refuses (ZFS goes back to its newest snapshot only), and while the whole VM is copied or moved. */
export async function rollBackVm(site: Site, machine: VmRecord, checkpointId: CheckpointId, signal: AbortSignal): Promise<boolean> {
  const { record, status } = await mustBeThere(site, machine, signal)
  if (isLockedForLong(status)) return false
  const { node, vmid } = record
  if (!(await hasVmSnapshot(site, record, checkpointId, signal))) return false
  try {
    // With its memory in the snapshot Proxmox lets it run on from there, which nobody has asked for: so it is off afterwards too.
    await whileOff(site, record, 'button', signal, () =>
      vmTask(site, record, 'POST /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback', { node, vmid, snapname: checkpointId }, signal),
    )
    return true
  } catch (error) {
    if (!isProxmox(error, 'task failed', 'failed') || error.retryable) throw error
    site.logger.info({ machineId: record.machine_id, checkpointId, err: error }, 'the storage does not take the whole VM back; its tree is taken back alone')
    return false
  }
}

/** Those of a machine that go, so that the chain stays short: the oldest first, and none that the store does not have. */
export async function surplus(site: Site, snapshots: readonly SnapshotRecord[]): Promise<SnapshotRecord[]> {
  const inVm = snapshots.filter(({ in_vm, state }) => in_vm && state === 'taken')
  const over = inVm.slice(0, Math.max(0, inVm.length - site.settings.snapshotsMost))
  const states = await Promise.all(over.map(({ checkpoint_id }) => site.trees.state(checkpoint_id)))
  return over.filter((_, index) => !isNeededOnDisk(states[index] ?? 'lost'))
}
