/** The privileges that Proxmox checks at each endpoint: `described` as its description writes them (9.1.3), `told` what only its sentences and its code say. */
import type { Check } from '@autovibe/core/proxmox/privileges.ts'
import type { MachineEndpointName } from './endpoints.ts'

export interface Need {
  /** Null: whoever is logged in. */
  readonly described: Check | null
  readonly told?: Check
  /** Called only where archives are kept, so that no other token needs it. */
  readonly only?: 'archives'
}

const vm = (privilege: string): Need => ({ described: ['perm', '/vms/{vmid}', [privilege]] })
const vmAny = (...privileges: readonly string[]): Need => ({ described: ['perm', '/vms/{vmid}', privileges, 'any', 1] })
const ANYBODY: Need = { described: null }
const CLUSTER: Need = { described: ['perm', '/', ['Sys.Audit']] }
/** Of a copy of a VM: its storage, and the VM that it is of. */
const COPY: Need = {
  described: null,
  told: ['and', ['perm', '/vms/{vmid}', ['VM.Backup']], ['perm', '/storage/{storage}', ['Datastore.AllocateSpace']]],
  only: 'archives',
}
const STORAGE: Need = { described: ['perm', '/storage/{storage}', ['Datastore.Audit', 'Datastore.AllocateSpace'], 'any', 1] }

/** Of a network card, for each bridge that it is plugged into. */
const BRIDGE: Check = ['perm', '/sdn/zones/localnetwork/{bridge}', ['SDN.Use']]

export const NEEDS: Readonly<Record<MachineEndpointName, Need>> = {
  'GET /version': ANYBODY,
  'GET /access/permissions': ANYBODY,
  'GET /cluster/resources': ANYBODY,
  'GET /cluster/status': CLUSTER,
  'GET /cluster/nextid': ANYBODY,
  'GET /cluster/firewall/options': CLUSTER,
  'GET /nodes': ANYBODY,
  'GET /nodes/{node}/status': { described: ['perm', '/nodes/{node}', ['Sys.Audit']] },
  'GET /nodes/{node}/network': ANYBODY,
  'GET /nodes/{node}/firewall/options': { described: ['perm', '/nodes/{node}', ['Sys.Audit']] },
  // Our own tasks need nothing; those of others are not ours to see.
  'GET /nodes/{node}/tasks': ANYBODY,
  'GET /nodes/{node}/tasks/{upid}/status': ANYBODY,
  'GET /nodes/{node}/tasks/{upid}/log': ANYBODY,
  'DELETE /nodes/{node}/tasks/{upid}': ANYBODY,
  'GET /nodes/{node}/storage': ANYBODY,
  'GET /nodes/{node}/storage/{storage}/status': STORAGE,
  'GET /nodes/{node}/storage/{storage}/content': STORAGE,
  'PUT /nodes/{node}/storage/{storage}/content/{volume}': COPY,
  'DELETE /nodes/{node}/storage/{storage}/content/{volume}': COPY,
  'POST /nodes/{node}/vzdump': COPY,
  'POST /nodes/{node}/qemu/{vmid}/clone': {
    described: [
      'and',
      ['perm', '/vms/{vmid}', ['VM.Clone']],
      ['or', ['perm', '/vms/{newid}', ['VM.Allocate']], ['perm', '/pool/{pool}', ['VM.Allocate'], 'require_param', 'pool']],
    ],
    told: ['and', ['perm', '/storage/{storage}', ['Datastore.AllocateSpace']], BRIDGE],
  },
  'DELETE /nodes/{node}/qemu/{vmid}': vm('VM.Allocate'),
  'GET /nodes/{node}/qemu/{vmid}/config': vm('VM.Audit'),
  'PUT /nodes/{node}/qemu/{vmid}/config': {
    ...vmAny(
      'VM.Config.Disk',
      'VM.Config.CDROM',
      'VM.Config.CPU',
      'VM.Config.Memory',
      'VM.Config.Network',
      'VM.Config.HWType',
      'VM.Config.Options',
      'VM.Config.Cloudinit',
    ),
    told: [
      'and',
      ['perm', '/vms/{vmid}', ['VM.Config.CPU', 'VM.Config.Memory', 'VM.Config.Network', 'VM.Config.HWType', 'VM.Config.Options']],
      ['perm', '/vms/{vmid}', ['VM.Config.Cloudinit', 'VM.Config.Network'], 'any', 1],
      BRIDGE,
    ],
  },
  'PUT /nodes/{node}/qemu/{vmid}/resize': vm('VM.Config.Disk'),
  'GET /nodes/{node}/qemu/{vmid}/feature': vm('VM.Audit'),
  'GET /nodes/{node}/qemu/{vmid}/status/current': vm('VM.Audit'),
  'GET /nodes/{node}/qemu/{vmid}/rrddata': vm('VM.Audit'),
  'POST /nodes/{node}/qemu/{vmid}/status/start': vm('VM.PowerMgmt'),
  'POST /nodes/{node}/qemu/{vmid}/status/shutdown': vm('VM.PowerMgmt'),
  'POST /nodes/{node}/qemu/{vmid}/status/stop': vm('VM.PowerMgmt'),
  'GET /nodes/{node}/qemu/{vmid}/snapshot': vm('VM.Audit'),
  'POST /nodes/{node}/qemu/{vmid}/snapshot': vm('VM.Snapshot'),
  'POST /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback': vmAny('VM.Snapshot', 'VM.Snapshot.Rollback'),
  'DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname}': vm('VM.Snapshot'),
  'GET /nodes/{node}/qemu/{vmid}/firewall/options': vm('VM.Audit'),
  'PUT /nodes/{node}/qemu/{vmid}/firewall/options': vm('VM.Config.Network'),
  'GET /nodes/{node}/qemu/{vmid}/firewall/rules': vm('VM.Audit'),
  'POST /nodes/{node}/qemu/{vmid}/firewall/rules': vm('VM.Config.Network'),
  'DELETE /nodes/{node}/qemu/{vmid}/firewall/rules/{pos}': vm('VM.Config.Network'),
  'POST /nodes/{node}/qemu/{vmid}/agent/ping': vmAny('VM.GuestAgent.Audit', 'VM.GuestAgent.Unrestricted'),
  'POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-freeze': vmAny('VM.GuestAgent.FileSystemMgmt', 'VM.GuestAgent.Unrestricted'),
  'POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-thaw': vmAny('VM.GuestAgent.FileSystemMgmt', 'VM.GuestAgent.Unrestricted'),
}
