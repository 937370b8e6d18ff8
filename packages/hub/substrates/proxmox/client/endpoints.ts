/** Every endpoint of Proxmox that is called for machines, with what it takes and what is read of its answer. Who calls another lists it here first, and its needs in needs.ts. */
import type { z } from 'zod'
import { endpoint } from './endpoint.ts'
import * as shapes from './shapes.ts'
import { BUILD_ENDPOINTS } from './template-endpoints.ts'

interface OnNode {
  node: string
}
interface OnVm extends OnNode {
  vmid: number
}
interface OnTask extends OnNode {
  upid: string
}
interface OnStorage extends OnNode {
  storage: string
}

interface TaskFilter extends OnNode {
  vmid?: number
  typefilter?: string
  /** Seconds since 1970. */
  since?: number
  source?: 'archive' | 'active' | 'all'
  limit?: number
}
interface Clone extends OnVm {
  newid: number
  pool: string
  name?: string
  description?: string
  full?: boolean
  snapname?: string
  storage?: string
  target?: string
}
/** Options that need no disk and no device: what a machine is told of itself, and what it may take. */
interface Configure extends OnVm {
  digest?: string
  delete?: string
  name?: string
  description?: string
  tags?: string
  agent?: string
  onboot?: boolean
  cores?: number
  cpulimit?: number
  memory?: string
  balloon?: number
  net0?: string
  ipconfig0?: string
  nameserver?: string
  searchdomain?: string
  smbios1?: string
  ciuser?: string
  sshkeys?: string
}
/** One whole VM to a storage that takes backups. */
interface Vzdump extends OnNode {
  vmid: string
  storage: string
  mode: 'snapshot'
  /** One line; double braces and backslashes in it are Proxmox's own. */
  'notes-template': string
  protected: boolean
  /** Whether older copies of the VM go by rules of the storage's own. */
  remove: boolean
}
interface OnVolume extends OnStorage {
  volume: string
}
interface FirewallOptions extends OnVm {
  enable?: boolean
  policy_in?: 'ACCEPT' | 'DROP' | 'REJECT'
  policy_out?: 'ACCEPT' | 'DROP' | 'REJECT'
  ipfilter?: boolean
  macfilter?: boolean
  dhcp?: boolean
}
interface FirewallRule extends OnVm {
  type: 'in' | 'out'
  action: 'ACCEPT' | 'DROP' | 'REJECT'
  enable?: number
  pos?: number
  dest?: string
  source?: string
  proto?: string
  dport?: string
  comment?: string
}

export const ENDPOINTS = {
  'GET /version': endpoint<object>()(shapes.Version),
  'GET /access/permissions': endpoint<{ path?: string }>()(shapes.Permissions),
  'GET /cluster/resources': endpoint<{ type?: 'vm' | 'node' }>()(shapes.Resources),
  /** With a number: that one, or refused by the name of its parameter when any VM has it, also one that we cannot see. */
  'GET /cluster/nextid': endpoint<{ vmid?: number }>()(shapes.FreeVmid),
  'GET /cluster/status': endpoint<object>()(shapes.ClusterStatus),
  'GET /cluster/firewall/options': endpoint<object>()(shapes.FirewallSwitch),
  'GET /nodes': endpoint<object>()(shapes.Nodes),
  'GET /nodes/{node}/status': endpoint<OnNode>()(shapes.NodeStatus),
  'GET /nodes/{node}/network': endpoint<OnNode & { type?: 'any_bridge' }>()(shapes.Bridges),
  'GET /nodes/{node}/firewall/options': endpoint<OnNode>()(shapes.FirewallSwitch),
  'GET /nodes/{node}/tasks': endpoint<TaskFilter>()(shapes.Tasks),
  'GET /nodes/{node}/tasks/{upid}/status': endpoint<OnTask>()(shapes.TaskStatus),
  'GET /nodes/{node}/tasks/{upid}/log': endpoint<OnTask & { start?: number; limit?: number }>()(shapes.TaskLog),
  'DELETE /nodes/{node}/tasks/{upid}': endpoint<OnTask>()(shapes.Nothing),
  'GET /nodes/{node}/storage': endpoint<OnNode & { content?: string }>()(shapes.Storages),
  'GET /nodes/{node}/storage/{storage}/status': endpoint<OnStorage>()(shapes.StorageStatus),
  'GET /nodes/{node}/storage/{storage}/content': endpoint<OnStorage & { vmid?: number; content?: string }>()(shapes.Volumes),
  'PUT /nodes/{node}/storage/{storage}/content/{volume}': endpoint<OnVolume & { notes?: string; protected?: boolean }>()(shapes.Nothing),
  'DELETE /nodes/{node}/storage/{storage}/content/{volume}': endpoint<OnVolume>()(shapes.UpidText),
  'POST /nodes/{node}/vzdump': endpoint<Vzdump>()(shapes.UpidOrNothing),
  'POST /nodes/{node}/qemu/{vmid}/clone': endpoint<Clone>()(shapes.UpidText),
  'DELETE /nodes/{node}/qemu/{vmid}': endpoint<OnVm & { purge?: boolean; 'destroy-unreferenced-disks'?: boolean }>()(shapes.UpidText),
  'GET /nodes/{node}/qemu/{vmid}/config': endpoint<OnVm & { snapshot?: string; current?: boolean }>()(shapes.VmConfig),
  'PUT /nodes/{node}/qemu/{vmid}/config': endpoint<Configure>()(shapes.Nothing),
  'PUT /nodes/{node}/qemu/{vmid}/resize': endpoint<OnVm & { disk: string; size: string; digest?: string }>()(shapes.UpidText),
  'GET /nodes/{node}/qemu/{vmid}/feature': endpoint<OnVm & { feature: 'snapshot' | 'clone' | 'copy'; snapname?: string }>()(shapes.Feature),
  'GET /nodes/{node}/qemu/{vmid}/status/current': endpoint<OnVm>()(shapes.VmStatus),
  'GET /nodes/{node}/qemu/{vmid}/rrddata': endpoint<OnVm & { timeframe: 'hour' | 'day'; cf?: 'AVERAGE' | 'MAX' }>()(shapes.Figures),
  'POST /nodes/{node}/qemu/{vmid}/status/start': endpoint<OnVm & { timeout?: number }>()(shapes.UpidText),
  'POST /nodes/{node}/qemu/{vmid}/status/shutdown': endpoint<OnVm & { timeout?: number; forceStop?: boolean }>()(shapes.UpidText),
  'POST /nodes/{node}/qemu/{vmid}/status/stop': endpoint<OnVm & { timeout?: number }>()(shapes.UpidText),
  'GET /nodes/{node}/qemu/{vmid}/snapshot': endpoint<OnVm>()(shapes.Snapshots),
  'POST /nodes/{node}/qemu/{vmid}/snapshot': endpoint<OnVm & { snapname: string; description?: string; vmstate?: boolean }>()(shapes.UpidText),
  'POST /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback': endpoint<OnVm & { snapname: string }>()(shapes.UpidText),
  'DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname}': endpoint<OnVm & { snapname: string }>()(shapes.UpidText),
  'GET /nodes/{node}/qemu/{vmid}/firewall/options': endpoint<OnVm>()(shapes.FirewallOptions),
  'PUT /nodes/{node}/qemu/{vmid}/firewall/options': endpoint<FirewallOptions>()(shapes.Nothing),
  'GET /nodes/{node}/qemu/{vmid}/firewall/rules': endpoint<OnVm>()(shapes.FirewallRules),
  'POST /nodes/{node}/qemu/{vmid}/firewall/rules': endpoint<FirewallRule>()(shapes.Nothing),
  'DELETE /nodes/{node}/qemu/{vmid}/firewall/rules/{pos}': endpoint<OnVm & { pos: number; digest?: string }>()(shapes.Nothing),
  'POST /nodes/{node}/qemu/{vmid}/agent/ping': endpoint<OnVm>()(shapes.Unread),
  'POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-freeze': endpoint<OnVm>()(shapes.Unread),
  'POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-thaw': endpoint<OnVm>()(shapes.Unread),
} as const

/** With those that only the making of a template calls, by a token of its own. */
export const CALLABLE = { ...ENDPOINTS, ...BUILD_ENDPOINTS } as const

export type MachineEndpointName = keyof typeof ENDPOINTS
export type EndpointName = keyof typeof CALLABLE
export type ParametersOf<N extends EndpointName> = NonNullable<(typeof CALLABLE)[N]['parameters']>
export type AnswerOf<N extends EndpointName> = z.output<(typeof CALLABLE)[N]['returns']>
/** Those that start a task and answer its UPID. */
export type TaskEndpointName = { [N in EndpointName]: AnswerOf<N> extends string ? N : never }[EndpointName]
