/** What Proxmox checks at each call of the making of a template, and the least that a token of its own must be given for it. */
import { AutovibeError } from '@autovibe/contract'
import { type Check, leastGrants } from '@autovibe/core/proxmox/privileges.ts'
import type { EndpointName } from './endpoints.ts'
import { NEEDS, type Need } from './needs.ts'
import { checkedName, checkedUser } from './privileges.ts'
import { UPLOAD } from './template-endpoints.ts'

/** Places apart that the driver's token has as one: the storage of images is not that of disks. */
const PLACES = ['vm', 'images', 'disks', 'node', 'bridge', 'pool'] as const
type Place = (typeof PLACES)[number]
const ROLE: Readonly<Record<Place, string>> = {
  vm: 'AutovibeTemplateVm',
  images: 'AutovibeTemplateImages',
  disks: 'AutovibeTemplateDisks',
  node: 'AutovibeTemplateNode',
  bridge: 'AutovibeTemplateBridges',
  pool: 'AutovibeTemplatePool',
}

const ALLOCATE_TEMPLATE: Check = ['perm', '/storage/{storage}', ['Datastore.AllocateTemplate']]
const BRIDGE: Check = ['perm', '/sdn/zones/localnetwork/{bridge}', ['SDN.Use']]
const DISK: Check = ['perm', '/disks/{storage}', ['Datastore.AllocateSpace']]

/** As in `needs.ts`; `/disks/…` stands for the storage of disks in what only the code of Proxmox says. */
export const BUILD_NEEDS: Readonly<Partial<Record<EndpointName | typeof UPLOAD, Need>>> = {
  'GET /version': NEEDS['GET /version'],
  'GET /access/permissions': NEEDS['GET /access/permissions'],
  'GET /cluster/nextid': NEEDS['GET /cluster/nextid'],
  'GET /nodes': NEEDS['GET /nodes'],
  // Lists those that may be seen, so that one that may be and is not listed is not there.
  'GET /pools': { described: null, told: ['perm', '/pool/{pool}', ['Pool.Audit']] },
  // When it last booted, and in the list of its tasks those of others: whether somebody has stopped the VM.
  'GET /nodes/{node}/status': NEEDS['GET /nodes/{node}/status'],
  'GET /nodes/{node}/network': NEEDS['GET /nodes/{node}/network'],
  'GET /nodes/{node}/storage': NEEDS['GET /nodes/{node}/storage'],
  'GET /nodes/{node}/storage/{storage}/content': NEEDS['GET /nodes/{node}/storage/{storage}/content'],
  'GET /nodes/{node}/tasks': NEEDS['GET /nodes/{node}/tasks'],
  'GET /nodes/{node}/tasks/{upid}/status': NEEDS['GET /nodes/{node}/tasks/{upid}/status'],
  'GET /nodes/{node}/tasks/{upid}/log': NEEDS['GET /nodes/{node}/tasks/{upid}/log'],
  'POST /nodes/{node}/storage/{storage}/download-url': {
    described: ['and', ALLOCATE_TEMPLATE, ['or', ['perm', '/', ['Sys.Audit', 'Sys.Modify']], ['perm', '/nodes/{node}', ['Sys.AccessNetwork']]]],
  },
  [UPLOAD]: { described: ALLOCATE_TEMPLATE },
  'DELETE /nodes/{node}/storage/{storage}/content/{volume}': { described: null, told: ['perm', '/storage/{storage}', ['Datastore.Allocate']] },
  'POST /nodes/{node}/qemu': {
    described: null,
    told: [
      'and',
      ['perm', '/vms/{vmid}', ['VM.Allocate', 'VM.Config.CPU', 'VM.Config.Memory', 'VM.Config.HWType', 'VM.Config.Options', 'VM.Config.Network']],
      // The disk, the order of starting, and the seed as a CD.
      ['perm', '/vms/{vmid}', ['VM.Config.Disk', 'VM.Config.CDROM']],
      // The image and the seed are read.
      ['perm', '/storage/{storage}', ['Datastore.AllocateSpace', 'Datastore.Audit'], 'any', 1],
      DISK,
      BRIDGE,
    ],
  },
  'GET /nodes/{node}/qemu/{vmid}/config': NEEDS['GET /nodes/{node}/qemu/{vmid}/config'],
  'POST /nodes/{node}/qemu/{vmid}/config': {
    described: NEEDS['PUT /nodes/{node}/qemu/{vmid}/config'].described,
    told: ['and', ['perm', '/vms/{vmid}', ['VM.Config.CDROM', 'VM.Config.Cloudinit', 'VM.Config.Network', 'VM.Config.Options']], DISK, BRIDGE],
  },
  'PUT /nodes/{node}/qemu/{vmid}/resize': { ...NEEDS['PUT /nodes/{node}/qemu/{vmid}/resize'], told: DISK },
  'GET /nodes/{node}/qemu/{vmid}/status/current': NEEDS['GET /nodes/{node}/qemu/{vmid}/status/current'],
  'POST /nodes/{node}/qemu/{vmid}/status/start': NEEDS['POST /nodes/{node}/qemu/{vmid}/status/start'],
  'POST /nodes/{node}/qemu/{vmid}/status/shutdown': NEEDS['POST /nodes/{node}/qemu/{vmid}/status/shutdown'],
  // Whether it says that all is installed.
  'GET /nodes/{node}/qemu/{vmid}/agent/get-host-name': { described: ['perm', '/vms/{vmid}', ['VM.GuestAgent.Audit', 'VM.GuestAgent.Unrestricted'], 'any', 1] },
  'POST /nodes/{node}/qemu/{vmid}/status/stop': NEEDS['POST /nodes/{node}/qemu/{vmid}/status/stop'],
  'POST /nodes/{node}/qemu/{vmid}/template': { described: ['perm', '/vms/{vmid}', ['VM.Allocate']] },
  'DELETE /nodes/{node}/qemu/{vmid}': NEEDS['DELETE /nodes/{node}/qemu/{vmid}'],
}

function placeOf(path: string): string {
  if (path === '/') return 'cluster'
  const found = (
    [
      ['/vms', 'vm'],
      ['/storage', 'images'],
      ['/disks', 'disks'],
      ['/nodes', 'node'],
      ['/sdn', 'bridge'],
      ['/pool', 'pool'],
    ] as const
  ).find(([start]) => path.startsWith(start))
  if (found === undefined) throw new RangeError(`no place is known for the path ${path}`)
  return found[1]
}

/** For each kind of place the privileges that are needed there, sorted. */
export function buildPrivileges(): Record<Place, string[]> {
  const checks = Object.values(BUILD_NEEDS).flatMap(({ described, told }): Check[] => [...(described ? [narrowed(described)] : []), ...(told ? [told] : [])])
  const needed: Record<Place, string[]> = { vm: [], images: [], disks: [], node: [], bridge: [], pool: [] }
  for (const each of leastGrants(checks, placeOf)) {
    const [place = '', privilege = ''] = each.split(' ')
    needed[place as Place].push(privilege)
  }
  for (const place of PLACES) needed[place].sort()
  return needed
}

/** Where Proxmox takes one of two, the way that leads through one node rather than through the whole cluster. */
function narrowed(check: Check): Check {
  if (check[0] === 'and') return ['and', ...(check.slice(1) as Check[]).map(narrowed)]
  if (check[0] !== 'or') return check
  const ways = (check.slice(1) as Check[]).filter((way) => way[0] !== 'perm' || way[1] !== '/')
  return ways.length === 1 && ways[0] ? ways[0] : ['or', ...ways]
}

export interface BuildSite {
  readonly node: string
  readonly vmid: number
  readonly imageStorage: string
  readonly storage: string
  readonly bridges: readonly string[]
  readonly pool: string
}

export interface BuildGrant {
  readonly place: Place
  readonly path: string
  readonly role: string
}

/** The paths on which the roles are given: one VM, one node, what that VM is made of, and a look at where it goes. */
export function buildGrants({ node, vmid, imageStorage, storage, bridges, pool }: BuildSite): BuildGrant[] {
  const on = (place: Place, path: string): BuildGrant => ({ place, path, role: ROLE[place] })
  return [
    on('vm', `/vms/${vmid}`),
    on('images', `/storage/${checkedName('storage', imageStorage)}`),
    // Where it is the same storage, the two roles on it add up.
    on('disks', `/storage/${checkedName('storage', storage)}`),
    on('node', `/nodes/${checkedName('node', node)}`),
    ...[...new Set(bridges)].map((bridge) => on('bridge', `/sdn/zones/localnetwork/${checkedName('bridge', bridge)}`)),
    on('pool', `/pool/${checkedName('pool', pool)}`),
  ]
}

export interface BuildToken {
  /** `name@realm`: of the making alone, so that taking it away takes everything away. */
  readonly user: string
  readonly token: string
}

/** The user is there for this alone, so that its token needs no rights apart; by the next day it is of no use to anybody. */
export const tokenLine = ({ user, token }: BuildToken): string =>
  `pveum user token add ${checkedUser(user)} ${checkedName('token', token)} --privsep 0 --expire $(date -d "+1 day" +%s)`

/** What an administrator types before, as root on a node, and what takes it all away again. */
export function buildLines(site: BuildSite, { user, token }: BuildToken): { readonly lines: string[]; readonly remove: string[] } {
  const needed = buildPrivileges()
  const who = checkedUser(user)
  if (!Number.isSafeInteger(site.vmid)) throw new AutovibeError('request.invalid', 'The number of the VM is none.', { fix: '--vmid 9000' })
  return {
    lines: [
      ...PLACES.map((place) => `pveum role add ${ROLE[place]} --privs "${needed[place].join(' ')}"`),
      `pveum user add ${who}`,
      ...buildGrants(site).map(({ path, role }) => `pveum acl modify ${path} --users ${who} --roles ${role}`),
      tokenLine({ user, token }),
    ],
    remove: [`pveum user delete ${who}`, ...PLACES.map((place) => `pveum role delete ${ROLE[place]}`)],
  }
}

/** The line that gives what is missing there. */
export const buildGrantLine = ({ path, role }: BuildGrant, user: string): string => `pveum acl modify ${path} --users ${user} --roles ${role}`
