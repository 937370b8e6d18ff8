/** Tells a cloned VM what it is: whose, how large, where its Hub is, and that it may reach nothing else. */
import { AutovibeError } from '@autovibe/contract'
import { configOf, mainDisk, sizeOf } from '@autovibe/core/proxmox/vm-config.ts'
import { vmNotes, vmTags } from '@autovibe/core/proxmox/vm-names.ts'
import { fence } from './fence.ts'
import { ensureOff } from './power.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { vmTask } from './vms.ts'

const GIB = 1024 ** 3

/** Only before its first start. */
export async function configureVm(site: Site, record: VmRecord, signal: AbortSignal): Promise<void> {
  const { client, settings, hubId } = site
  const { node, vmid, machine_id: machineId, name, limits } = record
  // An earlier attempt may have turned it on; what it is told now it reads at its next boot.
  await ensureOff(site, record, 'plug', signal)
  // Fenced in before it is told anything.
  await fence(site, record, signal)
  const now = await client.call('GET /nodes/{node}/qemu/{vmid}/config', { node, vmid, current: true }, { signal })
  const { parameters, remove } = configOf(now, {
    limits,
    tags: vmTags(hubId, machineId),
    notes: vmNotes(hubId, machineId, name),
    bridge: settings.bridge,
    ipConfig: settings.ipConfig(vmid),
    nameserver: settings.nameserver,
    invitation: await site.links.invite(machineId),
  })
  await client.call(
    'PUT /nodes/{node}/qemu/{vmid}/config',
    { node, vmid, ...parameters, ...(remove.length > 0 ? { delete: remove.join(',') } : {}) },
    { signal, idempotent: true },
  )
  await growDisk(site, record, now, signal)
}

/** Cores and memory as the row has them, from the next boot of the VM on; true when they were others. A rollback of a whole VM takes them back too. */
export async function resizeVm(site: Site, { node, vmid, limits }: VmRecord, signal: AbortSignal): Promise<boolean> {
  const now = await site.client.call('GET /nodes/{node}/qemu/{vmid}/config', { node, vmid }, { signal })
  const wanted = sizeOf(limits)
  if (Object.entries(wanted).every(([key, value]) => Number(now[key] ?? 0) === Number(value))) return false
  await site.client.call('PUT /nodes/{node}/qemu/{vmid}/config', { node, vmid, ...wanted }, { signal, idempotent: true })
  return true
}

/** A disk only grows: the template's own size stays for the system, and the tree and its frozen copies come on top. */
async function growDisk(site: Site, record: VmRecord, config: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
  // A clone of a snapshot has what the machine had that it comes from.
  if (record.source_snapshot !== null) return
  const { node, vmid, source_node, source_vmid, limits } = record
  const template = await site.client.call('GET /nodes/{node}/qemu/{vmid}/config', { node: source_node, vmid: source_vmid, current: true }, { signal })
  const [disk, origin] = [mainDisk(config), mainDisk(template)]
  if (disk === null || origin === null)
    throw new AutovibeError('substrate.failed', `VM ${vmid} has no disk of a known size.`, { fix: `See its template's disks: qm config ${source_vmid}` })
  const wanted = Math.ceil((origin.sizeBytes + limits.disk_bytes * TREES) / GIB)
  if (disk.sizeBytes >= wanted * GIB) return
  await vmTask(site, record, 'PUT /nodes/{node}/qemu/{vmid}/resize', { node, vmid, disk: disk.key, size: `${wanted}G` }, signal)
}

/** The tree, and frozen copies of it where the file system cannot share their blocks. */
const TREES = 2
