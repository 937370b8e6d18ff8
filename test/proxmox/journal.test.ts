import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { asker } from './ask.ts'
import { Journal } from './journal.ts'
import { expectOk, type Stage, stage } from './stage.ts'

let at: Stage
before(async () => {
  at = await stage({ storages: [{ id: 'thin', type: 'lvmthin' }] })
})
after(() => at.close())

const entry = { door: 'pve1', path: '', who: 'root@pam' }

test('a request writes to the VM of its path, to the number of a clone, to the members of a pool', () => {
  const journal = new Journal()
  const writes = (method: string, template: string, parameters: Record<string, string | number>): readonly number[] =>
    journal.add({ ...entry, method, template, parameters }).writes
  assert.deepEqual(writes('PUT', '/nodes/{node}/qemu/{vmid}/config', { vmid: '100' }), [100])
  assert.deepEqual(writes('GET', '/nodes/{node}/qemu/{vmid}/config', { vmid: '100' }), [])
  assert.deepEqual(writes('POST', '/nodes/{node}/qemu/{vmid}/clone', { vmid: '100', newid: '101' }), [101], 'a template of others may be cloned')
  assert.deepEqual(writes('PUT', '/pools/{poolid}', { vms: '100,102' }), [100, 102])
  assert.deepEqual(writes('DELETE', '/nodes/{node}/storage/{storage}/content/{volume}', { volume: 'thin:vm-103-disk-0' }), [103])
  assert.deepEqual(journal.writesTo(101).length, 1)
})

test('old requests are forgotten beyond the bound', () => {
  const journal = new Journal(2)
  for (let index = 0; index < 5; index += 1) journal.add({ ...entry, method: 'GET', template: '/version', parameters: {} })
  assert.equal(journal.entries.length, 2)
  assert.equal(journal.entries[1]?.number, 5)
})

test('a VM of somebody else shows when it was touched, and when it was not', async () => {
  const { pve, root } = at
  pve.plantVm({ vmid: 500, node: 'pve1', name: 'mail', tags: 'prod', config: { scsi0: 'thin:vm-500-disk-0,size=1G', memory: '512' } })
  pve.access.addUser('hub@pve')
  pve.access.addToken('hub@pve!t', 'secret', { privilegeSeparated: false })
  pve.access.addRole('Reader', ['VM.Audit'])
  pve.access.grant('/vms', 'hub@pve', 'Reader')
  const before = pve.digestOfVm(500)
  const hub = asker(pve, 'hub@pve!t=secret')
  assert.equal((await hub.get('/nodes/pve1/qemu/500/config')).data.name, 'mail')
  assert.equal((await hub.ask('PUT', '/nodes/pve1/qemu/500/config', { description: 'mine' })).status, 403)
  assert.deepEqual(
    pve.journal.writesTo(500).map((each) => [each.method, each.status]),
    [['PUT', 403]],
    'an attempt counts',
  )
  assert.equal(pve.digestOfVm(500), before)
  await root.ask('PUT', '/nodes/pve1/qemu/500/config', { description: 'touched' })
  assert.notEqual(pve.digestOfVm(500), before)
  assert.equal(pve.digestOfVm(501), null)
})

test('who asked what is written down with the answer’s status', async () => {
  const { pve, root } = at
  await root.get('/nodes/pve1/qemu/777/config')
  const last = pve.journal.entries.at(-1)
  assert.deepEqual(
    [last?.method, last?.template, last?.path, last?.who, last?.status],
    ['GET', '/nodes/{node}/qemu/{vmid}/config', '/nodes/pve1/qemu/777/config', 'root@pam!test', 500],
  )
  assert.ok(pve.journal.count('GET', '/nodes/{node}/qemu/{vmid}/config') > 0)
})

test('planted VMs do not stand in the way of one’s own', async () => {
  const { pve, root } = at
  pve.plantVm({ vmid: 100, node: 'pve1' })
  assert.equal((await root.get('/cluster/nextid')).data, 101)
  assert.deepEqual((await root.get('/cluster/nextid', { vmid: 100 })).errors, { vmid: 'VM 100 already exists' })
  await at.create(101, 'thin')
  expectOk(await root.task('DELETE', '/nodes/pve1/qemu/101'))
})
