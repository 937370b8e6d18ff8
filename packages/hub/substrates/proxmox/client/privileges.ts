/** The least privileges for the endpoints that are called, and the lines of `pveum` that give them to a token and to nothing else. */
import { AutovibeError } from '@autovibe/contract'
import { type Check, leastGrants } from '@autovibe/core/proxmox/privileges.ts'
import { NEEDS, type Need } from './needs.ts'

/** Kinds of places, each with a role of its own: one role for all would let the token do on nodes what it needs on VMs. */
const PLACES = ['vm', 'storage', 'node', 'cluster', 'bridge', 'archive'] as const
type Place = (typeof PLACES)[number]

const ROLE: Readonly<Record<Place, string>> = {
  vm: 'AutovibeMachines',
  storage: 'AutovibeStorages',
  node: 'AutovibeNodes',
  cluster: 'AutovibeCluster',
  bridge: 'AutovibeBridges',
  // On the same VMs, and only where archives are kept.
  archive: 'AutovibeArchives',
}

/** Ours and our templates are the VMs of one pool: on VMs of others the token may do nothing. */
const placeOfPath = (path: string): Place | undefined => {
  if (/^\/(?:vms|pool)\b/.test(path)) return 'vm'
  if (/^\/storage\b/.test(path)) return 'storage'
  if (/^\/nodes\b/.test(path)) return 'node'
  if (path === '/') return 'cluster'
  return /^\/sdn\b/.test(path) ? 'bridge' : undefined
}

function placeOf(path: string): Place {
  const place = placeOfPath(path)
  if (place === undefined) throw new RangeError(`no place is known for the path ${path}`)
  return place
}

/** For each kind of place the privileges that are needed there, sorted. */
export function neededPrivileges(): Record<Place, string[]> {
  const checksOf = (only: Need['only']): Check[] =>
    Object.values(NEEDS).flatMap((need): Check[] => (need.only === only ? [need.described, need.told].filter((check) => check != null) : []))
  const always = checksOf(undefined)
  const needed: Record<Place, string[]> = { vm: [], storage: [], node: [], cluster: [], bridge: [], archive: [] }
  for (const each of leastGrants(always, placeOf)) {
    const [place = '', privilege = ''] = each.split(' ')
    needed[place as Place].push(privilege)
  }
  for (const each of leastGrants([...always, ...checksOf('archives')], placeOf)) {
    const [place = '', privilege = ''] = each.split(' ')
    if (!needed[place as Place].includes(privilege)) needed.archive.push(privilege)
  }
  for (const place of PLACES) needed[place].sort()
  return needed
}

export interface Site {
  /** `name@realm`. */
  readonly user: string
  readonly token: string
  readonly pool: string
  readonly storages: readonly string[]
  readonly bridges: readonly string[]
  /** VMs that exist already and shall come into the pool. */
  readonly templates?: readonly number[]
  /** The storage of archives; none: nothing is archived. */
  readonly archive?: string | null
}

const NAME = /^[A-Za-z][A-Za-z0-9._-]{0,62}$/
const USER = /^[A-Za-z0-9._-]{1,60}@[A-Za-z][A-Za-z0-9._-]{1,31}$/

export interface PlaceGrant {
  readonly place: Place
  readonly path: string
  readonly role: string
  /** Whether it holds below the path too: at the root it must not, or it would hold everywhere. */
  readonly propagate: boolean
}

/** The paths of the access list on which the roles are given. */
export function grantsOf(site: Omit<Site, 'user' | 'token'>): PlaceGrant[] {
  const on = (place: Place, path: string): PlaceGrant => ({ place, path, role: ROLE[place], propagate: place !== 'cluster' })
  return [
    on('vm', `/pool/${checked('pool', site.pool)}`),
    ...site.storages.map((storage) => on('storage', `/storage/${checked('storage', storage)}`)),
    on('node', '/nodes'),
    on('cluster', '/'),
    ...site.bridges.map((bridge) => on('bridge', `/sdn/zones/localnetwork/${checked('bridge', bridge)}`)),
    ...(site.archive == null ? [] : [on('archive', `/pool/${site.pool}`), on('storage', `/storage/${checked('storage', site.archive)}`)]),
  ]
}

/** The line that gives a role to a user or (with quotes, for the shell) to a token. */
export const grantLine = ({ path, role, propagate }: PlaceGrant, to: string): string =>
  `pveum acl modify ${path} ${to.includes('!') ? `--tokens '${to}'` : `--users ${to}`} --roles ${role}${propagate ? '' : ' --propagate 0'}`

/** What an administrator types, once, as root on any node; the line that makes the token prints its secret. */
export function pveumLines(site: Site): string[] {
  const user = checked('user', site.user, USER)
  const token = checked('token', site.token)
  const needed = neededPrivileges()
  return [
    ...PLACES.filter((place) => place !== 'archive' || site.archive != null).map(
      (place) => `pveum role add ${ROLE[place]} --privs "${needed[place].join(' ')}"`,
    ),
    `pveum pool add ${checked('pool', site.pool)}`,
    ...(site.templates ?? []).map((vmid) => poolLine(site.pool, vmid)),
    `pveum user add ${user}`,
    // A separated token may do what both it and its user may: so both are given the roles.
    ...grantsOf(site).map((grant) => grantLine(grant, user)),
    `pveum user token add ${user} ${token} --privsep 1`,
    ...grantsOf(site).map((grant) => grantLine(grant, `${user}!${token}`)),
  ]
}

/** The lines that let a token see and remove the copies of a VM that has left the pool, because it is gone. */
export const archiveGrantLines = (vmid: number, tokenId: string): string[] =>
  [tokenId.split('!')[0] ?? tokenId, tokenId].map((to) => grantLine({ place: 'archive', path: `/vms/${vmid}`, role: ROLE.archive, propagate: true }, to))

/** The line that brings a VM into the pool, so that the token may clone it. */
export const poolLine = (pool: string, vmid: number): string => `pveum pool modify ${pool} --vms ${vmid}`

/** What grants what a refusal of Proxmox names ("Permission check failed (/vms/100, VM.Clone)"); undefined when it names nothing that we ask for. */
export function fixOfRefusal(words: string): string | undefined {
  const [, path = '', privileges = ''] = /\((\/[A-Za-z0-9/._-]*), ([A-Za-z.|]+)\)/.exec(words) ?? []
  const [privilege = ''] = privileges.split('|')
  const onPath = placeOfPath(path)
  if (onPath === undefined) return undefined
  const place = onPath === 'vm' && neededPrivileges().archive.includes(privilege) ? 'archive' : onPath
  const on = onPath === 'vm' ? `the pool in which ${path} must be` : path
  return `pveum role modify ${ROLE[place]} --privs ${privilege} --append 1, and see that the token and its user have the role ${ROLE[place]} on ${on}: pveum acl list`
}

export const checkedName = (what: string, name: string): string => checked(what, name)
export const checkedUser = (name: string): string => checked('user', name, USER)

function checked(what: string, name: string, pattern = NAME): string {
  if (pattern.test(name)) return name
  throw new AutovibeError('request.invalid', `The ${what} ${JSON.stringify(name.slice(0, 100))} cannot be named in a line of pveum.`, {
    fix: `Give the ${what} a name of letters, digits, dots, underscores and hyphens.`,
  })
}
