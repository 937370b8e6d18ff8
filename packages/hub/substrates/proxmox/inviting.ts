/** Tells the VMs of machines where their gate is now, when it has another address or certificate than they were told of. Never while one is on. */
import type { Finding } from '@autovibe/contract'
import { invitationOf, smbiosOf } from '@autovibe/core/proxmox/vm-config.ts'
import type { ObservedMachine } from '../substrate.ts'
import { fence } from './fence.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'

/**
 * For a VM that is off and about to be turned on: where its Hub is now, when that is not what it was told, and its fence first. Read from the VM itself, because a rollback takes
 * its configuration back too, and the database may be an older one. Its guest sees that it is still the same machine.
 */
export async function inviteAgain(site: Site, record: VmRecord, signal: AbortSignal): Promise<void> {
  // One that is being made is told everything by whoever makes it.
  if (record.state === 'making') return
  const { node, vmid, machine_id: machineId } = record
  const now = await site.client.call('GET /nodes/{node}/qemu/{vmid}/config', { node, vmid }, { signal })
  const told = invitationOf(now)
  if (told !== null && site.links.isValid(machineId, told)) return
  site.logger.info({ machineId, vmid }, 'a machine is invited anew, for it was told of another gate')
  await fence(site, record, signal)
  const smbios1 = smbiosOf(now['smbios1'], await site.links.invite(machineId))
  await site.client.call('PUT /nodes/{node}/qemu/{vmid}/config', { node, vmid, smbios1 }, { signal, idempotent: true })
}

/** Of a VM that is on without an agent at work: only off and on again it learns of another gate. */
export const mustMove = (site: Site, { machine_id, agent }: VmRecord): boolean => !agent && !site.links.leadsHere(machine_id)

/** Machines at work that were told of another gate: they go on as long as that answers, and whoever runs them says when they come over. */
export async function leftBehind(site: Site, observed: readonly ObservedMachine[]): Promise<readonly Finding[]> {
  const left = observed.filter(({ machineId, power }) => power === 'running' && !site.links.leadsHere(machineId)).map(({ machineId }) => machineId)
  if (left.length === 0) return []
  const linked = left.filter((machineId) => site.links.current(machineId) !== null).length
  const names = await site.records.machineNames(left)
  const shown = left.slice(0, NAMED_MOST).map((machineId) => names.get(machineId) ?? machineId)
  const others = left.length > shown.length ? ` and ${left.length - shown.length} more` : ''
  return [
    {
      area: 'proxmox',
      name: 'gate',
      status: 'warning',
      detail: `Of machines at work, ${left.length} were told of another address or certificate of the gate, and ${linked} of them are linked there: ${shown.join(', ')}${others}. They go on as long as that answers, and come over when they are stopped and started.`,
      fix: shown.map((name) => `autovibe machine stop ${name} && autovibe machine start ${name}`).join('; '),
    },
  ]
}

const NAMED_MOST = 10
