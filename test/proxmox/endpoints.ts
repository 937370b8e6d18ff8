/** The registry: every endpoint that the stand-in has, and the small description of our own for when Proxmox's is not there. */
import { ACCESS_CHANGES } from './access-changes.ts'
import { ACCESS_ENDPOINTS } from './access-endpoints.ts'
import type { Endpoints } from './call.ts'
import { CLUSTER_ENDPOINTS } from './cluster-endpoints.ts'
import { type Description, describe, type Method, type Schema } from './description.ts'
import { NODE_ENDPOINTS } from './node-endpoints.ts'
import { STORAGE_ENDPOINTS } from './storage-endpoints.ts'
import { VM_AGENT } from './vm-agent.ts'
import { VM_BACKUP } from './vm-backup.ts'
import { cloneVm } from './vm-clone.ts'
import { createVm } from './vm-create.ts'
import { VM_FIREWALL } from './vm-firewall.ts'
import { VM_MOVE } from './vm-move.ts'
import { VM_POWER } from './vm-power.ts'
import { VM_SNAPSHOTS } from './vm-snapshots.ts'
import { VM_STATUS } from './vm-status.ts'
import { VM_UPDATE } from './vm-update.ts'

export const ENDPOINTS: Endpoints = {
  ...ACCESS_ENDPOINTS,
  ...ACCESS_CHANGES,
  ...CLUSTER_ENDPOINTS,
  ...NODE_ENDPOINTS,
  ...STORAGE_ENDPOINTS,
  ...VM_STATUS,
  ...VM_UPDATE,
  ...VM_POWER,
  ...VM_SNAPSHOTS,
  ...VM_AGENT,
  ...VM_FIREWALL,
  ...VM_MOVE,
  ...VM_BACKUP,
  'POST /nodes/{node}/qemu': createVm,
  'POST /nodes/{node}/qemu/{vmid}/clone': cloneVm,
}

const VMID: Schema = { type: 'integer', format: 'pve-vmid', minimum: 100, maximum: 999_999_999 }
const OWN: Readonly<Record<string, Schema>> = {
  node: { type: 'string', format: 'pve-node' },
  vmid: VMID,
  storage: { type: 'string', format: 'pve-storage-id' },
  snapname: { type: 'string', format: 'pve-configid', maxLength: 40 },
}
/** What a request cannot do without, of the endpoints that need more than their path. */
const REQUIRED: Readonly<Record<string, Readonly<Record<string, Schema>>>> = {
  'POST /access/ticket': { username: { type: 'string' }, password: { type: 'string' } },
  'POST /nodes/{node}/qemu': { vmid: VMID },
  'POST /nodes/{node}/qemu/{vmid}/clone': { newid: VMID },
  'POST /nodes/{node}/qemu/{vmid}/migrate': { target: { type: 'string', format: 'pve-node' } },
  'PUT /nodes/{node}/qemu/{vmid}/resize': { disk: { type: 'string' }, size: { type: 'string', pattern: '\\+?\\d+(\\.\\d+)?[KMGT]?' } },
  'POST /nodes/{node}/qemu/{vmid}/snapshot': { snapname: { type: 'string', format: 'pve-configid', maxLength: 40 } },
}

/** Paths, numbers and names are checked; privileges only where the handlers check them. */
export function ownDescription(): Description {
  const methods = Object.keys(ENDPOINTS).map((key): Method => {
    const [method = '', path = ''] = key.split(' ')
    const inPath = [...path.matchAll(/\{([^{}]+)\}/g)].map(([, name = '']) => [name, OWN[name] ?? { type: 'string' }] as const)
    const open = path === '/access/ticket' || path === '/access/domains'
    return {
      method,
      path,
      parameters: { type: 'object', additionalProperties: 1, properties: { ...Object.fromEntries(inPath), ...REQUIRED[key] } },
      returns: { optional: 1 },
      permissions: { user: open ? 'world' : 'all' },
      allowtoken: 1,
      ...(path.startsWith('/nodes/{node}/') ? { proxyto: 'node' } : {}),
    }
  })
  return describe(methods, null)
}
