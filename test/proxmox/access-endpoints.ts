/** Logging in, and what one may do. */
import { ownerOf } from './access.ts'
import { badParameters, listOf, Refusal } from './answers.ts'
import type { Call, Endpoints } from './call.ts'

const TOP = ['/', '/access', '/access/groups', '/nodes', '/pool', '/sdn', '/storage', '/vms']

export const ACCESS_ENDPOINTS: Endpoints = {
  'GET /access/ticket': () => null,
  'POST /access/ticket': ticket,
  'GET /access/permissions': permissions,
  'GET /access/roles': (call) =>
    [...call.access.roles].map(([roleid, privileges]) => ({
      roleid,
      privs: [...privileges].sort().join(','),
      special: /^(?:PVE|NoAccess$|Administrator$)/.test(roleid) ? 1 : 0,
    })),
  'GET /access/domains': () => [
    { realm: 'pam', type: 'pam', comment: 'Linux PAM standard authentication' },
    { realm: 'pve', type: 'pve', comment: 'Proxmox VE authentication server' },
  ],
}

function ticket(call: Call): unknown {
  const { parameters, credentials, access } = call
  const name = parameters.required('username')
  const realm = parameters.text('realm')
  const userid = realm === undefined ? name : `${name}@${realm}`
  const answer = credentials.login(userid, parameters.required('password'))
  const path = parameters.text('path')
  if (path !== undefined && !access.may(userid, path, listOf(parameters.text('privs')))) throw new Refusal(401, 'no permission\n')
  return { ...answer, clustername: call.cluster.name, ...(path === undefined ? { cap: {} } : {}) }
}

function permissions(call: Call): unknown {
  const { access, cluster, who } = call
  const whose = call.parameters.text('userid') ?? who
  if (whose !== who && ownerOf(whose) !== who) access.check(who, '/access', ['Sys.Audit'])
  const known = whose.includes('!') ? access.tokens.has(whose) : access.users.has(whose)
  if (!known) throw badParameters({ userid: `${whose.includes('!') ? 'no such token' : 'no such user'} ('${whose}')` })
  const only = call.parameters.text('path')
  const members = [...cluster.pools.values()].flatMap((pool) => [
    ...[...pool.vms].map((vmid) => `/vms/${vmid}`),
    ...[...pool.storages].map((id) => `/storage/${id}`),
  ])
  const paths = only === undefined ? [...new Set([...TOP, ...access.grants.map((grant) => grant.path), ...members])] : [only]
  const held = paths.map(
    (path) => [path, Object.fromEntries([...access.privileges(whose, path)].map(([privilege, propagate]) => [privilege, propagate ? 1 : 0]))] as const,
  )
  return Object.fromEntries(held.filter(([path, privileges]) => only === path || Object.keys(privileges).length > 0))
}
