import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { asker } from './ask.ts'
import { descriptionFile } from './description.ts'
import { type Stage, stage } from './stage.ts'

const skip = descriptionFile() === null ? 'Proxmox’s description is not beside this checkout' : false
let at: Stage
before(async () => {
  at = await stage()
})
after(() => at.close())

test('the lines that an administrator types make a token that may what they say, and nothing else', { skip }, async () => {
  const { pve } = at
  await pve.pveum('pveum role add Hub --privs "VM.Audit,VM.Clone VM.Allocate"')
  await pve.pveum("pveum user add autovibe@pve --comment 'the Hub'")
  await pve.pveum('pveum pool add autovibe')
  await pve.pveum('pveum acl modify /vms --users autovibe@pve --roles Hub')
  const token = (await pve.pveum('pveum user token add autovibe@pve hub --privsep 1')) as { 'full-tokenid': string; value: string }
  assert.equal(token['full-tokenid'], 'autovibe@pve!hub')
  await pve.pveum('pveum acl modify /vms -tokens autovibe@pve!hub -roles Hub')
  const hub = asker(pve, `${token['full-tokenid']}=${token.value}`)
  assert.deepEqual((await hub.get('/access/permissions', { path: '/vms/100' })).data, { '/vms/100': { 'VM.Audit': 1, 'VM.Clone': 1, 'VM.Allocate': 1 } })
  assert.equal((await hub.get('/nodes/pve1/status')).reason, 'Permission check failed (/nodes/pve1, Sys.Audit)')
  await pve.pveum('pveum acl modify /vms --tokens autovibe@pve!hub --roles Hub --delete 1')
  assert.deepEqual((await hub.get('/access/permissions', { path: '/vms/100' })).data, { '/vms/100': {} })
  await pve.pveum('pveum user token remove autovibe@pve hub')
  assert.equal((await hub.get('/version')).status, 401)
})

test('a line with a mistake is refused as the API refuses it', { skip }, async () => {
  const { pve } = at
  await assert.rejects(pve.pveum('pveum role add Odd --privs VM.Fly'), { status: 400, errors: { privs: "invalid format - invalid privilege 'VM.Fly'\n" } })
  await assert.rejects(pve.pveum('pveum user add nobody'), { status: 400 })
  await assert.rejects(pve.pveum('pveum acl modify /nowhere --users root@pam --roles PVEAuditor'), {
    status: 400,
    errors: { path: "invalid ACL path '/nowhere'" },
  })
  await assert.rejects(pve.pveum('pveum acl modify /vms --users gone@pve --roles PVEAuditor'), { status: 500, text: "user 'gone@pve' does not exist\n" })
  await assert.rejects(pve.pveum('pveum acl modify /vms --users root@pam --roles Gone'), { text: "role 'Gone' does not exist\n" })
  await assert.rejects(pve.pveum('pveum role add PVEAuditor'), { text: "create role failed: role 'PVEAuditor' already exists\n" })
  await assert.rejects(pve.pveum('pveum role modify PVEAuditor --privs VM.Audit'), { text: "auto-generated role 'PVEAuditor' cannot be modified\n" })
  await assert.rejects(pve.pveum('pveum realm sync x'), /does not know this command/)
  await assert.rejects(pve.pveum('qm list'), /not a line of pveum/)
})

test('who may give roles on a VM gives none that he has not got', { skip }, async () => {
  const { pve } = at
  pve.access.addUser('giver@pve')
  pve.access.addUser('taker@pve')
  pve.access.addToken('giver@pve!t', 'secret', { privilegeSeparated: false })
  pve.access.grant('/vms/300', 'giver@pve', 'PVEVMAdmin')
  const giver = asker(pve, 'giver@pve!t=secret')
  assert.equal(
    (await giver.ask('PUT', '/access/acl', { path: '/vms/301', users: 'taker@pve', roles: 'PVETemplateUser' })).reason,
    'Permission check failed (/vms/301, Permissions.Modify|VM.Allocate)',
  )
  assert.equal((await giver.ask('PUT', '/access/acl', { path: '/vms/300', users: 'taker@pve', roles: 'PVETemplateUser' })).status, 200)
  assert.deepEqual(Object.keys((await giver.ask('PUT', '/access/acl', { path: '/vms/300', users: 'taker@pve', roles: 'Administrator' })).errors ?? {}), [
    'role',
  ])
})
