/** Tells a cloned VM what it is: whose, how large, where its Hub is, and that it may reach nothing else. */
import { AutovibeError } from '@autovibe/contract'
import { configOf, mainDisk, type Rule, rulesOf, sizeOf } from '@autovibe/core/proxmox/vm-config.ts'
import { vmNotes, vmTags } from '@autovibe/core/proxmox/vm-names.ts'
import { ensureOff } from './power.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { vmTask } from './vms.ts'

const GIB = 1024 ** 3

/** Only before its first start: another invitation would make its guest take itself for somebody new. */
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

/** A disk only grows: the template's own size stays for the system, what the tree may take comes on top. */
async function growDisk(site: Site, record: VmRecord, config: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
  const disk = mainDisk(config)
  if (disk === null)
    throw new AutovibeError('substrate.failed', `VM ${record.vmid} has no disk of a known size.`, {
      fix: `See its template's disks: qm config ${record.source_vmid}`,
    })
  const wanted = Math.ceil((record.limits.disk_bytes + TEMPLATE_BYTES) / GIB)
  if (disk.sizeBytes >= wanted * GIB || record.source_snapshot !== null) return
  const { node, vmid } = record
  await vmTask(site, record, 'PUT /nodes/{node}/qemu/{vmid}/resize', { node, vmid, disk: disk.key, size: `${wanted}G` }, signal)
}

/** What the system of a template takes. */
const TEMPLATE_BYTES = 4 * GIB

async function fence(site: Site, { node, vmid }: VmRecord, signal: AbortSignal): Promise<void> {
  const { client, settings } = site
  const wanted = rulesOf(settings.gate)
  const found = await client.call('GET /nodes/{node}/qemu/{vmid}/firewall/rules', { node, vmid }, { signal })
  if (!sameRules(found, wanted)) {
    // From the last to the first, so that the others keep their places.
    for (const { pos } of found.toSorted((left, right) => right.pos - left.pos))
      await client.call('DELETE /nodes/{node}/qemu/{vmid}/firewall/rules/{pos}', { node, vmid, pos }, { signal })
    for (const rule of wanted.toReversed())
      await client.call('POST /nodes/{node}/qemu/{vmid}/firewall/rules', { node, vmid, ...rule, enable: 1, comment: 'autovibe: the Hub' }, { signal })
  }
  await client.call(
    'PUT /nodes/{node}/qemu/{vmid}/firewall/options',
    { node, vmid, enable: true, policy_in: 'DROP', policy_out: 'DROP', dhcp: /\bip=dhcp\b/.test(settings.ipConfig(vmid)), macfilter: true },
    { signal, idempotent: true },
  )
}

type FoundRule = { readonly [K in keyof Rule]?: string | undefined } & { readonly enable?: boolean | undefined }

const sameRules = (found: readonly FoundRule[], wanted: readonly Rule[]): boolean =>
  found.length === wanted.length &&
  wanted.every((rule, index) => {
    const there = found[index]
    return there?.enable === true && (['type', 'action', 'proto', 'dest', 'dport'] as const).every((key) => there[key] === rule[key])
  })
