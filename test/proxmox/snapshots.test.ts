import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { asker } from './ask.ts'
import { expectOk, type Stage, stage } from './stage.ts'

let at: Stage
let vmid = 100
const next = (): number => vmid++
const snapshots = (id: number): string => `/nodes/pve1/qemu/${id}/snapshot`
before(async () => {
  at = await stage({
    storages: [
      { id: 'thin', type: 'lvmthin' },
      { id: 'tank', type: 'zfspool' },
      { id: 'ceph', type: 'rbd' },
    ],
  })
})
after(() => at.close())

const file = (id: number): string => {
  const disk = at.pve.cluster.storages.volume(`thin:vm-${id}-disk-0`, 'pve1')?.disk
  if (!disk) throw new Error(`VM ${id} has no disk`)
  return join(at.guests.folder(disk), 'file')
}

test('going back with RAM starts the VM where it was, without RAM it stands still', async () => {
  const { root, guests } = at
  const id = next()
  await at.create(id, 'thin')
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${id}/status/start`))
  await writeFile(file(id), 'first')
  expectOk(await root.task('POST', snapshots(id), { snapname: 'with', vmstate: 1, description: 'RAM as well' }))
  await writeFile(file(id), 'second')
  expectOk(await root.task('POST', snapshots(id), { snapname: 'without' }))
  await writeFile(file(id), 'third')

  const { data } = await root.get(snapshots(id))
  assert.deepEqual(
    data.map((each: Record<string, unknown>) => [each['name'], each['parent'], each['vmstate'], each['description']]),
    [
      ['with', undefined, 1, 'RAM as well'],
      ['without', 'with', 0, ''],
      ['current', 'without', undefined, 'You are here!'],
    ],
  )
  expectOk(await root.task('POST', `${snapshots(id)}/without/rollback`))
  assert.equal(await readFile(file(id), 'utf8'), 'second')
  assert.equal((await root.get(`/nodes/pve1/qemu/${id}/status/current`)).data.status, 'stopped')
  expectOk(await root.task('POST', `${snapshots(id)}/with/rollback`))
  assert.equal(await readFile(file(id), 'utf8'), 'first')
  assert.equal((await root.get(`/nodes/pve1/qemu/${id}/status/current`)).data.status, 'running')
  assert.notEqual(guests.running.get(id)?.boot.memory, null)
  expectOk(await root.task('POST', `${snapshots(id)}/without/rollback`, { start: 1 }))
  const [start] = (await root.get('/nodes/pve1/tasks', { source: 'all', typefilter: 'qmstart', vmid: id })).data
  expectOk(await root.ended(start.upid))
  assert.equal((await root.get(`/nodes/pve1/qemu/${id}/status/current`)).data.status, 'running', 'the start is a task of its own')
})

test('the file systems are frozen for disks alone, not with the RAM, and thawed again', async () => {
  const { root, guests } = at
  const id = next()
  await at.create(id, 'thin')
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${id}/status/start`))
  expectOk(await root.task('POST', snapshots(id), { snapname: 'disks' }))
  expectOk(await root.task('POST', snapshots(id), { snapname: 'ram', vmstate: 1 }))
  const frozen = (await root.post(`/nodes/pve1/qemu/${id}/agent/fsfreeze-status`)).data.result
  assert.equal(frozen, 'thawed')
  const [memory] = [...guests.memories.values()].filter((each) => each.vmid === id)
  assert.equal(memory?.frozen, false)
  guests.silent.add(id)
  const { data: upid } = await root.post(snapshots(id), { snapname: 'silent' })
  assert.equal(await root.ended(upid), 'OK')
  const log = (await root.get(`/nodes/pve1/tasks/${encodeURIComponent(upid)}/log`)).data.map((line: { t: string }) => line.t)
  assert.ok(log.includes('skipping guest filesystem freeze - agent configured but not running?'), log.join('\n'))
})

test('removing a snapshot joins its children to its parent', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  for (const name of ['one', 'two', 'three']) expectOk(await root.task('POST', snapshots(id), { snapname: name }))
  expectOk(await root.task('DELETE', `${snapshots(id)}/two`))
  const { data } = await root.get(snapshots(id))
  assert.equal(data.find((each: { name: string }) => each.name === 'three').parent, 'one')
  assert.equal(await root.task('DELETE', `${snapshots(id)}/two`), "snapshot 'two' does not exist")
  assert.equal((await root.get(`${snapshots(id)}/two/config`)).reason, "snapshot 'two' does not exist")
})

test('a name is taken once, two are reserved, and a template has no snapshots', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  expectOk(await root.task('POST', snapshots(id), { snapname: 'one' }))
  assert.equal(await root.task('POST', snapshots(id), { snapname: 'one' }), "snapshot name 'one' already used")
  assert.equal((await root.post(snapshots(id), { snapname: 'current' })).reason, "unable to use snapshot name 'current' (reserved name)")
  assert.equal((await root.post(`/nodes/pve1/qemu/${id}/template`)).reason, 'unable to create template, because VM contains snapshots')
  expectOk(await root.task('DELETE', `${snapshots(id)}/one`))
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${id}/template`))
  assert.equal(await root.task('POST', snapshots(id), { snapname: 'one' }), "you can't take a snapshot if it's a template")
})

test('ZFS goes back to its newest snapshot only', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'tank')
  for (const name of ['one', 'two']) expectOk(await root.task('POST', snapshots(id), { snapname: name }))
  assert.equal(await root.task('POST', `${snapshots(id)}/one/rollback`), `can't rollback, 'one' is not most recent snapshot on 'tank:vm-${id}-disk-0'`)
  expectOk(await root.task('POST', `${snapshots(id)}/two/rollback`))
})

test('RBD keeps a snapshot that clones grow out of, and what tried to remove it stays locked', async () => {
  const { root, pve } = at
  const [id, child] = [next(), next()]
  await at.create(id, 'ceph')
  expectOk(await root.task('POST', snapshots(id), { snapname: 'one' }))
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${id}/clone`, { newid: child, full: 0, snapname: 'one' }))
  assert.equal(
    await root.task('DELETE', `${snapshots(id)}/one`),
    `rbd unprotect vm-${id}-disk-0 snap 'one' error: rbd: unprotecting snap failed: (16) Device or resource busy`,
  )
  assert.equal((await root.get(`/nodes/pve1/qemu/${id}/config`)).data.lock, 'snapshot-delete')
  expectOk(await root.task('DELETE', `/nodes/pve1/qemu/${child}`))
  const vm = pve.cluster.vms.get(id)
  assert.ok(vm)
  vm.lock = null
  expectOk(await root.task('DELETE', `${snapshots(id)}/one`))
})

test('starting after a rollback needs the privilege to start', async () => {
  const { root, pve } = at
  const id = next()
  await at.create(id, 'thin')
  expectOk(await root.task('POST', snapshots(id), { snapname: 'one' }))
  pve.access.addUser('back@pve')
  pve.access.addToken('back@pve!t', 'secret', { privilegeSeparated: false })
  pve.access.addRole('Back', ['VM.Snapshot.Rollback'])
  pve.access.grant(`/vms/${id}`, 'back@pve', 'Back')
  const back = asker(pve, 'back@pve!t=secret')
  assert.equal((await back.post(`${snapshots(id)}/one/rollback`, { start: 1 })).reason, `Permission check failed (/vms/${id}, VM.PowerMgmt)`)
  expectOk(await back.task('POST', `${snapshots(id)}/one/rollback`))
})
