import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Access } from './access.ts'
import { Refusal } from './answers.ts'
import type { Permissions } from './description.ts'
import type { Raw } from './parameters.ts'
import { checkPermissions } from './permission-checks.ts'

const USER = 'autovibe@pve'
const TOKEN = 'autovibe@pve!hub'

function accessOf(pools: Readonly<Record<string, readonly string[]>> = {}): Access {
  const access = new Access({ poolsOf: (path) => Object.keys(pools).filter((pool) => pools[pool]?.includes(path)) })
  access.addUser(USER)
  access.addToken(TOKEN, 'secret')
  access.addRole('Cloner', ['VM.Clone', 'VM.Audit'])
  return access
}

/** Proxmox's words, or null for yes. */
function refusal(access: Access, permissions: Permissions | undefined, parameters: Raw = {}, who: string | null = USER): string | null {
  try {
    checkPermissions(access, permissions, who, parameters)
    return null
  } catch (error) {
    assert.ok(error instanceof Refusal)
    assert.equal(error.status, 403)
    return error.text
  }
}
const CLONE: Permissions = {
  check: [
    'and',
    ['perm', '/vms/{vmid}', ['VM.Clone']],
    ['or', ['perm', '/vms/{newid}', ['VM.Allocate']], ['perm', '/pool/{pool}', ['VM.Allocate'], 'require_param', 'pool']],
  ],
}

test('a permission on a path filled from the parameters is refused in Proxmox’s words, and held when granted', () => {
  const access = accessOf()
  const permissions: Permissions = { check: ['perm', '/vms/{vmid}', ['VM.Clone']] }
  assert.equal(refusal(access, permissions, { vmid: 100 }), 'Permission check failed (/vms/100, VM.Clone)\n')
  access.grant('/vms/100', USER, 'Cloner')
  assert.equal(refusal(access, permissions, { vmid: 100 }), null)
  assert.equal(refusal(access, permissions, { vmid: 101 }), 'Permission check failed (/vms/101, VM.Clone)\n')
})

test('any of several privileges is enough where the expression says any', () => {
  const access = accessOf()
  const permissions: Permissions = { check: ['perm', '/vms/{vmid}', ['VM.Snapshot', 'VM.Audit'], 'any', 1] }
  assert.equal(refusal(access, permissions, { vmid: 100 }), 'Permission check failed (/vms/100, VM.Snapshot|VM.Audit)\n')
  access.grant('/vms', USER, 'PVEAuditor')
  assert.equal(refusal(access, permissions, { vmid: 100 }), null)
})

test('a clone needs the source, and the target or a pool that is named', () => {
  const access = accessOf()
  access.addRole('Allocator', ['VM.Allocate'])
  access.grant('/vms/100', USER, 'Cloner')
  assert.equal(refusal(access, CLONE, { vmid: 100, newid: 101 }), 'Permission check failed\n')
  access.grant('/pool/hub', USER, 'Allocator')
  assert.equal(refusal(access, CLONE, { vmid: 100, newid: 101 }), 'Permission check failed\n')
  assert.equal(refusal(access, CLONE, { vmid: 100, newid: 101, pool: 'hub' }), null)
  access.grant('/vms/101', USER, 'Allocator')
  assert.equal(refusal(access, CLONE, { vmid: 100, newid: 101 }), null)
})

test('who is nobody may ask only what the world may, and root may ask anything', () => {
  const access = accessOf()
  assert.equal(refusal(access, { user: 'world' }, {}, null), null)
  assert.equal(refusal(access, { user: 'all' }, {}, null), 'Permission check failed (user != null)\n')
  assert.equal(refusal(access, undefined), 'Permission check failed (user != root@pam)\n')
  assert.equal(refusal(access, undefined, {}, 'root@pam'), null)
  assert.equal(refusal(access, { user: 'all' }), null)
})

test('a grant without propagation counts on its own path alone', () => {
  const access = accessOf()
  access.grant('/vms', USER, 'Cloner', false)
  assert.ok(access.may(USER, '/vms', ['VM.Clone']))
  assert.ok(!access.may(USER, '/vms/100', ['VM.Clone']))
})

test('what is granted nearer replaces what was inherited, and NoAccess takes everything', () => {
  const access = accessOf()
  access.grant('/', USER, 'Administrator')
  access.grant('/vms/100', USER, 'PVEAuditor')
  access.grant('/vms/200', USER, 'NoAccess')
  assert.ok(access.may(USER, '/vms/101', ['VM.Clone']))
  assert.ok(!access.may(USER, '/vms/100', ['VM.Clone']))
  assert.ok(access.may(USER, '/vms/100', ['VM.Audit']))
  assert.ok(!access.may(USER, '/vms/200', ['VM.Audit']))
})

test('a user’s own grant replaces the grants of its groups', () => {
  const access = accessOf()
  access.addUser('other@pve', { groups: ['hubs'] })
  access.grant('/vms', '@hubs', 'PVEVMAdmin')
  assert.ok(access.may('other@pve', '/vms/100', ['VM.Clone']))
  access.grant('/vms', 'other@pve', 'PVEAuditor')
  assert.ok(!access.may('other@pve', '/vms/100', ['VM.Clone']))
})

test('a separated token may do what both it and its user may; an unseparated one what its user may', () => {
  const access = accessOf()
  access.addToken('autovibe@pve!whole', 'secret', { privilegeSeparated: false })
  access.grant('/vms', USER, 'Cloner')
  assert.ok(!access.may(TOKEN, '/vms/100', ['VM.Clone']), 'nothing was granted to the token')
  assert.ok(access.may('autovibe@pve!whole', '/vms/100', ['VM.Clone']))
  access.grant('/vms', TOKEN, 'Administrator')
  assert.ok(access.may(TOKEN, '/vms/100', ['VM.Clone']))
  assert.ok(!access.may(TOKEN, '/vms/100', ['VM.Allocate']), 'its user has not got it')
  assert.ok(!access.may('autovibe@pve!gone', '/vms/100', ['VM.Clone']))
})

test('a role on a pool counts on its members, and not below them', () => {
  const access = accessOf({ hub: ['/vms/100'] })
  access.grant('/pool/hub', USER, 'Cloner')
  assert.ok(access.may(USER, '/vms/100', ['VM.Clone']))
  assert.equal(access.privileges(USER, '/vms/100').get('VM.Clone'), false)
  assert.ok(!access.may(USER, '/vms/101', ['VM.Clone']))
  access.grant('/vms/100', USER, 'NoAccess')
  assert.ok(!access.may(USER, '/vms/100', ['VM.Clone']), 'NoAccess is not trumped by a pool')
})

test('perm-modify, userid-param and userid-group decide as they are told', () => {
  const access = accessOf()
  access.addUser('other@pve', { groups: ['hubs'] })
  const modify: Permissions = { check: ['perm-modify', '{path}'] }
  assert.equal(refusal(access, modify, { path: '/vms/100' }), 'Permission check failed (/vms/100, Permissions.Modify|VM.Allocate)\n')
  access.grant('/vms', USER, 'PVEVMAdmin')
  assert.equal(refusal(access, modify, { path: '/vms/100' }), null)
  const self: Permissions = { check: ['userid-param', 'self'] }
  assert.equal(refusal(access, self, { userid: USER }), null)
  assert.equal(refusal(access, self, { userid: 'other@pve' }), 'Permission check failed\n')
  const realm: Permissions = { check: ['userid-param', 'Realm.AllocateUser'] }
  assert.equal(refusal(access, realm, { userid: 'new@pve' }), 'Permission check failed (/access/realm/pve, Realm.AllocateUser)\n')
  const group: Permissions = { check: ['userid-group', ['User.Modify']] }
  assert.equal(refusal(access, group, { userid: 'other@pve' }), 'Permission check failed\n')
  access.grant('/access/groups/hubs', USER, 'PVEUserAdmin')
  assert.equal(refusal(access, group, { userid: 'other@pve' }), null)
  const create: Permissions = { check: ['userid-group', ['User.Modify'], 'groups_param', 'create'] }
  assert.equal(refusal(access, create, { userid: 'new@pve' }), 'Permission check failed (/access/groups, User.Modify)\n')
  assert.equal(refusal(access, create, { userid: 'new@pve', groups: 'hubs' }), null)
  assert.equal(refusal(access, create, { userid: 'new@pve', groups: 'hubs,admins' }), 'Permission check failed (/access/groups/admins, User.Modify)\n')
})

test('a role is made of privileges that exist', () => {
  assert.throws(() => accessOf().addRole('Odd', ['VM.Fly']), /no such privilege: VM.Fly/)
  assert.throws(() => accessOf().grant('/', USER, 'Nobody'), /no such role/)
})
