import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { asker } from './ask.ts'
import { expectOk, type Stage, stage } from './stage.ts'

const CLONE = (vmid: number): string => `/nodes/pve1/qemu/${vmid}/clone`
/** What each storage can do, as Proxmox's plugins say: snapshot; linked and full clone of a template; linked and full clone of a snapshot. */
const STORAGES = [
  ['thin', 'lvmthin', true, true, true, true, true],
  ['ceph', 'rbd', true, true, true, true, true],
  ['tank', 'zfspool', true, true, true, false, false],
  ['files', 'dir', true, true, true, false, true],
  ['share', 'nfs', true, true, true, false, true],
  ['butter', 'btrfs', true, true, true, true, true],
  ['thick', 'lvm', false, false, true, false, false],
] as const

let at: Stage
let vmid = 100
const next = (): number => vmid++
before(async () => {
  at = await stage({ nodes: [{ name: 'pve1' }, { name: 'pve2' }], storages: STORAGES.map(([id, type]) => ({ id, type })) })
})
after(() => at.close())

for (const [storage, , snapshots, linked, full, linkedOfSnapshot, fullOfSnapshot] of STORAGES) {
  test(`on ${storage}: snapshot ${snapshots}, clone of a template linked ${linked} and full ${full}, of a snapshot linked ${linkedOfSnapshot} and full ${fullOfSnapshot}`, async () => {
    const { root } = at
    const [plain, template] = [next(), next()]
    await at.create(plain, storage)
    const taken = await root.task('POST', `/nodes/pve1/qemu/${plain}/snapshot`, { snapname: 'one' })
    assert.equal(taken, snapshots ? 'OK' : 'snapshot feature is not available')
    await at.create(template, storage)
    expectOk(await root.task('POST', `/nodes/pve1/qemu/${template}/template`))

    const clone = async (from: number, fields: Record<string, string | number>, allowed: boolean, words: RegExp): Promise<void> => {
      const answer = await root.post(CLONE(from), { newid: next(), ...fields })
      if (allowed) return expectOk(await root.ended(answer.data))
      assert.equal(answer.status, 500)
      assert.match(answer.reason, words)
    }
    await clone(template, {}, linked, /^Linked clone feature is not supported for 'thick:/)
    await clone(template, { full: 1 }, full, /never/)
    if (!snapshots) return
    await clone(plain, { full: 0, snapname: 'one' }, linkedOfSnapshot, /^Linked clone feature is not supported for a snapshot of '/)
    await clone(plain, { full: 1, snapname: 'one' }, fullOfSnapshot, /^Full clone feature is not supported for a snapshot of '/)
  })
}

test('a clone has its own address, uuid and name, no tags of anybody, and its disk’s content', async () => {
  const { root, pve, guests } = at
  const [source, copy] = [next(), next()]
  await at.create(source, 'thin', { description: 'the first' })
  const disk = pve.cluster.storages.volume(`thin:vm-${source}-disk-0`, 'pve1')?.disk
  assert.ok(disk)
  await writeFile(join(guests.folder(disk), 'file'), 'content')
  expectOk(await root.task('POST', CLONE(source), { newid: copy, full: 1, name: 'the-copy' }))
  const [before, after] = [(await root.get(`/nodes/pve1/qemu/${source}/config`)).data, (await root.get(`/nodes/pve1/qemu/${copy}/config`)).data]
  assert.equal(after.name, 'the-copy')
  assert.equal(after.description, 'the first')
  assert.notEqual(after.net0, before.net0)
  assert.match(after.net0, /^virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr1,firewall=1$/)
  assert.notEqual(after.smbios1, before.smbios1)
  assert.equal(after.scsi0, `thin:vm-${copy}-disk-0,size=1G`)
  assert.equal(after.ide2, `thin:vm-${copy}-cloudinit,media=cdrom`)
  const copied = pve.cluster.storages.volume(`thin:vm-${copy}-disk-0`, 'pve1')?.disk
  assert.ok(copied)
  assert.equal(await readFile(join(guests.folder(copied), 'file'), 'utf8'), 'content')
})

test('a clone of a snapshot has the disk and the configuration of then, and never its RAM', async () => {
  const { root, pve, guests } = at
  const [source, copy] = [next(), next()]
  await at.create(source, 'thin')
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${source}/status/start`))
  const disk = pve.cluster.storages.volume(`thin:vm-${source}-disk-0`, 'pve1')?.disk
  assert.ok(disk)
  await writeFile(join(guests.folder(disk), 'file'), 'then')
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${source}/snapshot`, { snapname: 'one', vmstate: 1 }))
  await writeFile(join(guests.folder(disk), 'file'), 'now')
  assert.equal((await root.ask('PUT', `/nodes/pve1/qemu/${source}/config`, { name: 'renamed' })).status, 200)
  expectOk(await root.task('POST', CLONE(source), { newid: copy, full: 0, snapname: 'one' }))
  const copied = pve.cluster.storages.volume(`thin:vm-${copy}-disk-0`, 'pve1')?.disk
  assert.ok(copied)
  assert.equal(await readFile(join(guests.folder(copied), 'file'), 'utf8'), 'then')
  const status = (await root.get(`/nodes/pve1/qemu/${copy}/status/current`)).data
  assert.equal(status.name, `Copy-of-VM-vm-${source}`)
  assert.equal(status.status, 'stopped')
  assert.equal((await root.get(`/nodes/pve1/qemu/${copy}/config`)).data.vmstate, undefined)
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${copy}/status/start`))
  assert.equal(guests.running.get(copy)?.boot.memory, null)
})

test('what is wrong with a clone is said before there is a task', async () => {
  const { root } = at
  const [source, other] = [next(), next()]
  await at.create(source, 'thin')
  await at.create(other, 'thin')
  const refused = async (fields: Record<string, string | number>, words: string): Promise<void> => {
    const answer = await root.post(CLONE(source), { newid: next(), ...fields })
    assert.deepEqual([answer.status, answer.reason], [answer.status, words])
    assert.notEqual(answer.status, 200)
  }
  await refused({ newid: other }, `unable to create VM ${other}: config file already exists`)
  await refused({ snapname: 'gone' }, "snapshot 'gone' does not exist")
  await refused({ full: 0, storage: 'thin' }, "parameter 'storage' not allowed for linked clones")
  await refused({ target: 'pve2' }, "can't clone VM to node 'pve2' (VM uses local storage)")
  await refused({ storage: 'local' }, 'Parameter verification failed.')
  await refused({ storage: 'nowhere' }, "storage 'nowhere' does not exist")
  await refused({ pool: 'nowhere' }, "Permission check failed (pool 'nowhere' does not exist)")
  const missing = await root.post(CLONE(8888), { newid: next() })
  assert.equal(missing.reason, "Configuration file 'nodes/pve1/qemu-server/8888.conf' does not exist")
})

test('a number that is taken on another node fails the task', async () => {
  const { root, pve } = at
  const [source, taken] = [next(), next()]
  await at.create(source, 'thin')
  pve.plantVm({ vmid: taken, node: 'pve2' })
  assert.match(
    await root.task('POST', CLONE(source), { newid: taken }),
    new RegExp(`^unable to open file '/etc/pve/nodes/pve1/qemu-server/${taken}.conf.tmp.\\d+' - File exists$`),
  )
  assert.equal(pve.cluster.vms.get(taken)?.node, 'pve2')
})

test('on shared storage a clone may go to another node', async () => {
  const { root } = at
  const [source, copy] = [next(), next()]
  await at.create(source, 'ceph')
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${source}/template`))
  expectOk(await root.task('POST', CLONE(source), { newid: copy, target: 'pve2' }))
  const { data } = await root.get(`/nodes/pve2/qemu/${copy}/config`)
  assert.equal(data.scsi0, `ceph:base-${source}-disk-0/vm-${copy}-disk-0,size=1G`)
})

test('a template is not removed while linked clones need it', async () => {
  const { root } = at
  const [source, copy] = [next(), next()]
  await at.create(source, 'thin')
  expectOk(await root.task('POST', `/nodes/pve1/qemu/${source}/template`))
  expectOk(await root.task('POST', CLONE(source), { newid: copy }))
  assert.equal(await root.task('DELETE', `/nodes/pve1/qemu/${source}`), `base volume 'thin:base-${source}-disk-0' is still in use by linked cloned`)
  expectOk(await root.task('DELETE', `/nodes/pve1/qemu/${copy}`))
  expectOk(await root.task('DELETE', `/nodes/pve1/qemu/${source}`))
})

test('a clone needs space on the storage, the bridge, and its number or its pool', async () => {
  const { root, pve } = at
  const source = next()
  await at.create(source, 'thin')
  pve.access.addUser('cloner@pve')
  pve.access.addToken('cloner@pve!t', 'secret', { privilegeSeparated: false })
  pve.access.addRole('C1', ['VM.Clone', 'VM.Allocate'])
  pve.access.grant('/vms', 'cloner@pve', 'C1')
  const cloner = asker(pve, 'cloner@pve!t=secret')
  const ask = (): Promise<{ reason: string; data: string }> => cloner.post(CLONE(source), { newid: next() })
  assert.equal((await ask()).reason, 'Permission check failed (/storage/thin, Datastore.AllocateSpace)')
  pve.access.grant('/storage/thin', 'cloner@pve', 'PVEDatastoreUser')
  assert.equal((await ask()).reason, 'Permission check failed (/sdn/zones/localnetwork/vmbr1, SDN.Use)')
  pve.access.grant('/sdn/zones/localnetwork/vmbr1', 'cloner@pve', 'PVESDNUser')
  expectOk(await root.ended((await ask()).data))
})
