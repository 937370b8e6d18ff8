/** The end of a VM: off, removed with its disks, its guest shut out, its number free again. */
import type { MachineId } from '@autovibe/contract'
import { ownVms } from './observed.ts'
import { whileOff } from './power.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { achieve, locate, ownVm, vmTask } from './vms.ts'

export async function purge(site: Site, machine: VmRecord, signal: AbortSignal): Promise<void> {
  const found = await ownVm(site, machine, signal)
  if (found !== null) {
    const { record } = found
    const { node, vmid } = record
    await whileOff(site, record, 'plug', signal, () =>
      achieve(
        async () => (await locate(site, vmid, node, signal)).kind === 'absent',
        () => vmTask(site, record, 'DELETE /nodes/{node}/qemu/{vmid}', { node, vmid, purge: true }, signal),
      ),
    )
  }
  await site.links.forget(machine.machine_id)
  await site.records.remove(machine.machine_id)
  site.neededMs.delete(machine.machine_id)
  site.meters.forget(machine.machine_id)
}

/** False while clones grow out of its snapshots and the storage holds those fast; then it goes after them. */
export async function purgeIfFree(site: Site, record: VmRecord, signal: AbortSignal): Promise<boolean> {
  if (site.clonesHold && (await site.records.hasClones(record.vmid))) return false
  await purge(site, record, signal)
  return true
}

/** A VM with our mark that no row knows: made by a call that landed after its machine was given up. */
export async function purgeUnknown(site: Site, machineId: MachineId, signal: AbortSignal): Promise<void> {
  const orphan = (await ownVms(site, signal)).find((each) => each.machineId === machineId && each.record === null)
  await site.links.forget(machineId)
  if (orphan === undefined) return
  const { vmid, node, name } = orphan.listed
  // Listed without a name it is not proven to be ours.
  if (node === undefined || name === undefined) return
  const record = await site.records.adopt(machineId, { vmid, node, name })
  await purge(site, record, signal)
}
