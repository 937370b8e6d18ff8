/** The plain way to a VM that is set up as a machine's is: the same calls by the same client, one after the other, and nothing is looked at, placed or recorded. */
import { AutovibeError, type MachineId } from '@autovibe/contract'
import { configOf, mainDisk, rulesOf } from '@autovibe/core/proxmox/vm-config.ts'
import { vmNotes, vmTags } from '@autovibe/core/proxmox/vm-names.ts'
import type { ParametersOf, TaskEndpointName } from '../../packages/hub/substrates/proxmox/client/endpoints.ts'
import { runTask } from '../../packages/hub/substrates/proxmox/client/tasks.ts'
import { HUB_ID } from '../../packages/hub/substrates/proxmox/test-cluster.ts'
import type { Cluster, Rooms } from './cluster.ts'

const TASK_MS = 60_000
const DISK = '5G'

export async function clonePlainly({ settings }: Cluster, { client }: Rooms, vm: { readonly vmid: number; readonly machineId: MachineId }): Promise<void> {
  const { vmid, machineId } = vm
  const template = settings.templates[vmid % settings.templates.length]
  if (template === undefined) throw new AutovibeError('internal', 'There is no template to clone.')
  const { node } = template
  const task = <N extends TaskEndpointName>(name: N, parameters: ParametersOf<N>) =>
    runTask(client, name, parameters, { deadlineMs: TASK_MS, started: async () => undefined })
  await task('POST /nodes/{node}/qemu/{vmid}/clone', { node, vmid: template.vmid, newid: vmid, pool: settings.pool, name: `plain-${vmid}`, full: false })
  for (const rule of rulesOf(settings.gate)) await client.call('POST /nodes/{node}/qemu/{vmid}/firewall/rules', { node, vmid, ...rule, enable: 1 })
  const fence = { enable: true, policy_in: 'DROP', policy_out: 'DROP', dhcp: true, macfilter: true } as const
  await client.call('PUT /nodes/{node}/qemu/{vmid}/firewall/options', { node, vmid, ...fence })
  const now = await client.call('GET /nodes/{node}/qemu/{vmid}/config', { node, vmid, current: true })
  const { parameters } = configOf(now, {
    limits: settings.defaultLimits,
    tags: vmTags(HUB_ID, machineId),
    notes: vmNotes(HUB_ID, machineId, `plain-${vmid}`),
    bridge: settings.bridge,
    ipConfig: settings.ipConfig(vmid),
    nameserver: settings.nameserver,
    invitation: 'none',
  })
  await client.call('PUT /nodes/{node}/qemu/{vmid}/config', { node, vmid, ...parameters })
  await task('PUT /nodes/{node}/qemu/{vmid}/resize', { node, vmid, disk: mainDisk(now)?.key ?? '', size: DISK })
}
