/** Users, tokens, roles and grants made through the API, as `pveum` makes them. */
import { randomUUID } from 'node:crypto'
import { normalized, ROOT } from './access.ts'
import { badParameters, died, listOf } from './answers.ts'
import type { Call, Endpoints } from './call.ts'
import { ALL_PRIVILEGES } from './privileges.ts'

/** Where a grant may stand. */
const PATH =
  /^(?:\/|\/access(?:\/(?:groups|realm)(?:\/[\w.-]+)?)?|\/nodes(?:\/[\w.-]+)?|\/pool(?:\/[\w.-]+){0,4}|\/sdn(?:\/zones(?:\/[\w.-]+(?:\/[\w.-]+(?:\/[1-9]\d{0,3})?)?)?)?|\/storage(?:\/[\w.-]+)?|\/vms(?:\/[1-9]\d{2,})?|\/mapping(?:\/[\w.-]+){0,2})$/

export const ACCESS_CHANGES: Endpoints = {
  'POST /access/roles': addRole,
  'PUT /access/roles/{roleid}': changeRole,
  'POST /access/users': addUser,
  'POST /access/users/{userid}/token/{tokenid}': addToken,
  'DELETE /access/users/{userid}/token/{tokenid}': removeToken,
  'GET /access/acl': (call) =>
    call.access.grants.map(({ path, who, role, propagate }) => ({
      path,
      ugid: who.replace(/^@/, ''),
      type: who.startsWith('@') ? 'group' : who.includes('!') ? 'token' : 'user',
      roleid: role,
      propagate: propagate ? 1 : 0,
    })),
  'PUT /access/acl': changeGrants,
}

function knownPrivileges(call: Call): string[] {
  const privileges = listOf(call.parameters.text('privs'))
  const unknown = privileges.find((privilege) => !ALL_PRIVILEGES.includes(privilege))
  if (unknown !== undefined) throw badParameters({ privs: `invalid format - invalid privilege '${unknown}'\n` })
  return privileges
}

function addRole(call: Call): void {
  const role = call.parameters.required('roleid')
  if (call.access.roles.has(role)) throw died(`create role failed: role '${role}' already exists`)
  call.access.addRole(role, knownPrivileges(call))
}

function changeRole(call: Call): void {
  const role = call.parameters.required('roleid')
  const before = call.access.roles.get(role)
  if (!before) throw died(`role '${role}' does not exist`)
  if (/^(?:PVE|NoAccess$|Administrator$)/.test(role)) throw died(`auto-generated role '${role}' cannot be modified`)
  call.access.addRole(role, call.parameters.flag('append') ? [...before, ...knownPrivileges(call)] : knownPrivileges(call))
}

function addUser(call: Call): void {
  const userid = call.parameters.required('userid')
  if (call.access.users.has(userid)) throw died(`create user failed: user '${userid}' already exists`)
  call.access.addUser(userid, {
    password: call.parameters.text('password') ?? null,
    enabled: call.parameters.text('enable') !== '0',
    groups: listOf(call.parameters.text('groups')),
  })
}

function addToken(call: Call): unknown {
  const userid = call.parameters.required('userid')
  const full = `${userid}!${call.parameters.required('tokenid')}`
  if (!call.access.users.has(userid)) throw died(`no such user ('${userid}')`)
  if (call.access.tokens.has(full)) throw badParameters({ tokenid: 'Token already exists.' })
  const privilegeSeparated = call.parameters.text('privsep') !== '0'
  const expiresAt = call.parameters.number('expire') ?? 0
  const value = randomUUID()
  call.access.addToken(full, value, { privilegeSeparated, expiresAt })
  return { 'full-tokenid': full, value, info: { privsep: privilegeSeparated ? 1 : 0, expire: expiresAt } }
}

function removeToken(call: Call): void {
  const full = `${call.parameters.required('userid')}!${call.parameters.required('tokenid')}`
  if (!call.access.tokens.delete(full)) throw died(`no such token '${full.split('!')[1]}' for user '${full.split('!')[0]}'`)
  call.access.revoke((grant) => grant.who === full)
}

function changeGrants(call: Call): void {
  const { access, parameters, who } = call
  const [users, groups, tokens] = ['users', 'groups', 'tokens'].map((key) => listOf(parameters.text(key))) as [string[], string[], string[]]
  if (users.length + groups.length + tokens.length === 0)
    throw badParameters(Object.fromEntries(['users', 'groups', 'tokens'].map((key) => [key, "either 'users', 'groups' or 'tokens' is required."])))
  const path = normalized(parameters.required('path'))
  if (!PATH.test(path)) throw badParameters({ path: `invalid ACL path '${parameters.required('path')}'` })
  for (const userid of users) if (!access.users.has(userid)) throw died(`user '${userid}' does not exist`)
  for (const token of tokens) if (!access.tokens.has(token)) throw died(`no such token '${token.split('!')[1]}' for user '${token.split('!')[0]}'`)
  const held = access.privileges(who, path)
  for (const role of listOf(parameters.text('roles'))) {
    const privileges = access.roles.get(role)
    if (!privileges) throw died(`role '${role}' does not exist`)
    const whole = who === ROOT || held.has('Permissions.Modify')
    if (!whole && [...privileges].some((privilege) => !held.has(privilege)))
      throw badParameters({
        role: `Cannot ${parameters.flag('delete') ? 'remove' : 'add'} role '${role}' - requires 'Permissions.Modify' or superset of privileges.`,
      })
    for (const each of [...users, ...tokens, ...groups.map((group) => `@${group}`)]) {
      access.revoke((grant) => grant.path === path && grant.who === each && grant.role === role)
      if (!parameters.flag('delete')) access.grant(path, each, role, parameters.text('propagate') !== '0')
    }
  }
}
