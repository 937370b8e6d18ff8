import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import type { Fields } from './ask.ts'
import { ENDPOINTS } from './endpoints.ts'
import { expectOk, type Stage, stage } from './stage.ts'

let at: Stage
const VM = '/nodes/pve1/qemu/100'
before(async () => {
  at = await stage({
    nodes: [{ name: 'pve1' }, { name: 'pve2', maintenance: true }],
    storages: [
      { id: 'thin', type: 'lvmthin' },
      { id: 'ceph', type: 'rbd' },
      { id: 'pbs', type: 'pbs' },
    ],
  })
  at.guests.runInGuest = () => ({ exitCode: 0, output: 'done' })
})
after(() => at.close())

const ok = async (method: string, path: string, fields: Fields = {}): Promise<ReturnType<JSON['parse']>> => {
  const answer = await at.root.ask(method, path, fields)
  assert.equal(answer.status, 200, `${method} ${path}: ${answer.reason} ${JSON.stringify(answer.errors)}`)
  return answer.data
}
const done = async (method: string, path: string, fields: Fields = {}): Promise<void> => expectOk(await at.root.task(method, path, fields))

test('what the cluster and its nodes are can be read', async () => {
  await ok('GET', '/version')
  for (const type of [undefined, 'vm', 'node', 'storage', 'sdn']) await ok('GET', '/cluster/resources', type ? { type } : {})
  for (const path of [
    '/cluster/nextid',
    '/cluster/status',
    '/cluster/tasks',
    '/cluster/firewall/options',
    '/cluster/ha/status/manager_status',
    '/cluster/ha/resources',
    '/access/roles',
    '/access/domains',
    '/access/ticket',
    '/access/permissions',
  ])
    await ok('GET', path)
  const ha = await ok('GET', '/cluster/ha/status/current')
  assert.equal(ha.find((each: { id: string }) => each.id === 'lrm:pve2').status, 'pve2 (maintenance mode)')
  assert.equal((await ok('GET', '/cluster/resources', { type: 'node' }))[1].hastate, 'maintenance')
  for (const path of [
    '',
    '/status',
    '/version',
    '/firewall/options',
    '/tasks',
    '/storage',
    '/storage/thin',
    '/storage/thin/status',
    '/storage/thin/content',
    '/qemu',
  ])
    await ok('GET', `/nodes/pve1${path}`)
  await ok('GET', '/nodes')
  assert.deepEqual(
    (await ok('GET', '/nodes/pve1/network', { type: 'any_bridge' })).map((card: { iface: string }) => card.iface),
    ['vmbr0', 'vmbr1'],
  )
})

test('pools come and go', async () => {
  await ok('POST', '/pools', { poolid: 'hub', comment: 'ours' })
  await ok('PUT', '/pools/hub', { storage: 'thin' })
  await ok('PUT', '/pools', { poolid: 'hub', comment: 'still ours' })
  assert.equal((await ok('GET', '/pools/hub')).members[0].storage, 'thin')
  await ok('GET', '/pools')
  await ok('GET', '/pools', { poolid: 'hub' })
  assert.match((await at.root.ask('DELETE', '/pools/hub')).reason, /not empty/)
  await ok('PUT', '/pools/hub', { storage: 'thin', delete: 1 })
  await ok('DELETE', '/pools', { poolid: 'hub' })
  await ok('POST', '/pools', { poolid: 'other' })
  await ok('DELETE', '/pools/other')
})

test('an image is uploaded or fetched, imported into a disk, and removed', async () => {
  const image = Buffer.from('an image')
  const checksum = createHash('sha256').update(image).digest('hex')
  const body = (sum: string): string =>
    ['content', 'import', 'checksum', sum, 'checksum-algorithm', 'sha256'].reduce(
      (text, value, index, all) => (index % 2 ? text : `${text}--b\r\nContent-Disposition: form-data; name="${value}"\r\n\r\n${all[index + 1]}\r\n`),
      '',
    )
  const upload = (sum: string): ReturnType<typeof at.root.ask> => {
    const raw = `${body(sum)}--b\r\nContent-Disposition: form-data; name="filename"; filename="ubuntu.qcow2"\r\n\r\n${image}\r\n--b--\r\n`
    return at.root.ask('POST', '/nodes/pve1/storage/local/upload', {}, { raw, headers: { 'Content-Type': 'multipart/form-data; boundary=b' } })
  }
  assert.match(await at.root.ended((await upload('0'.repeat(64))).data), /^checksum mismatch: got '/)
  expectOk(await at.root.ended((await upload(checksum)).data))
  const server = createServer((_, response) => response.end(image)).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fetched.qcow2`
  await done('POST', '/nodes/pve1/storage/local/download-url', { url, content: 'import', filename: 'fetched.qcow2', checksum, 'checksum-algorithm': 'sha256' })
  await new Promise((resolve) => server.close(resolve))
  assert.deepEqual((await at.root.post('/nodes/pve1/storage/local/download-url', { url, content: 'import', filename: 'a.exe' })).errors, {
    filename: 'invalid filename or wrong extension',
  })
  await done('POST', '/nodes/pve1/qemu', { vmid: 99_999, scsi0: 'thin:0,import-from=local:import/ubuntu.qcow2' })
  await done('DELETE', '/nodes/pve1/qemu/99999', { purge: 1, 'destroy-unreferenced-disks': 1 })
  assert.equal((await ok('GET', '/nodes/pve1/storage/local/content', { content: 'import' })).length, 2)
  await done('DELETE', `/nodes/pve1/storage/local/content/${encodeURIComponent('local:import/ubuntu.qcow2')}`)
})

test('a VM goes through its whole life', async () => {
  await at.create(100, 'thin', { serial0: 'socket', tags: 'b;a;b', description: 'one' })
  assert.equal((await ok('GET', `${VM}/config`)).tags, 'a;b')
  for (const path of [
    '',
    '/pending',
    '/status/current',
    '/cloudinit',
    '/rrddata',
    '/feature',
    '/migrate',
    '/firewall',
    '/firewall/options',
    '/firewall/rules',
    '/firewall/refs',
    '/agent',
    '/snapshot',
  ]) {
    const fields = path === '/rrddata' ? { timeframe: 'hour' } : path === '/feature' ? { feature: 'snapshot' } : {}
    await ok('GET', VM + path, fields as Fields)
  }
  await ok('GET', `${VM}/cloudinit/dump`, { type: 'meta' })
  await ok('PUT', `${VM}/cloudinit`)
  await ok('PUT', `${VM}/config`, { ciuser: 'x', delete: 'serial0' })
  await done('POST', `${VM}/config`, { cores: 2, scsi1: 'thin:1' })
  await done('PUT', `${VM}/resize`, { disk: 'scsi1', size: '2G' })
  await ok('PUT', `${VM}/firewall/options`, { enable: 1, policy_in: 'DROP' })
  await ok('POST', `${VM}/firewall/rules`, { type: 'out', action: 'ACCEPT', enable: 1 })
  await ok('POST', `${VM}/firewall/rules`, { type: 'in', action: 'DROP', enable: 1, pos: 0 })
  await ok('PUT', `${VM}/firewall/rules/0`, { comment: 'nothing comes in' })
  await ok('PUT', `${VM}/firewall/rules/0`, { moveto: 1 })
  assert.equal((await ok('GET', `${VM}/firewall/rules/1`)).comment, 'nothing comes in')
  await ok('DELETE', `${VM}/firewall/rules/1`)
  assert.match((await at.root.get(`${VM}/firewall/rules/7`)).reason, /no rule at position 7/)
  await done('POST', `${VM}/status/start`)
  await done('POST', `${VM}/snapshot`, { snapname: 'one', vmstate: 1 })
  await ok('GET', `${VM}/snapshot/one`)
  await ok('GET', `${VM}/snapshot/one/config`)
  await ok('GET', `${VM}/rrddata`, { timeframe: 'hour', cf: 'AVERAGE' })
  await ok('PUT', `${VM}/snapshot/one/config`, { description: 'first' })
  for (const what of ['suspend', 'resume', 'reset', 'reboot', 'shutdown', 'start', 'stop']) await done('POST', `${VM}/status/${what}`)
  await done('POST', `${VM}/snapshot/one/rollback`)
  await done('DELETE', `${VM}/snapshot/one`)
})

test('every command of the guest agent that a guest knows is passed on', async () => {
  for (const command of ['ping', 'fsfreeze-status', 'fsfreeze-freeze', 'fsfreeze-thaw', 'fstrim']) await ok('POST', `${VM}/agent/${command}`)
  for (const command of ['info', 'network-get-interfaces', 'get-host-name', 'get-time']) await ok('GET', `${VM}/agent/${command}`)
  for (const command of ['get-vcpus', 'get-fsinfo', 'get-memory-blocks', 'get-memory-block-info', 'get-osinfo', 'get-users', 'get-timezone'])
    assert.match((await at.root.get(`${VM}/agent/${command}`)).reason, /^Agent error: /)
  for (const command of ['suspend-hybrid', 'suspend-ram', 'suspend-disk']) assert.match((await at.root.post(`${VM}/agent/${command}`)).reason, /^Agent error: /)
  await ok('POST', `${VM}/agent`, { command: 'ping' })
  await ok('POST', `${VM}/agent/set-user-password`, { username: 'x', password: 'secret' })
  const { pid } = await ok('POST', `${VM}/agent/exec`, { command: ['true'] })
  await ok('GET', `${VM}/agent/exec-status`, { pid })
  await ok('POST', `${VM}/agent/file-write`, { file: '/a', content: 'b' })
  assert.equal((await ok('GET', `${VM}/agent/file-read`, { file: '/a' })).content, 'b')
  await ok('POST', `${VM}/agent/shutdown`)
})

test('a VM is backed up and comes back under another number, is moved, templated, cloned and removed', async () => {
  await done('POST', '/nodes/pve1/vzdump', { vmid: '100', storage: 'pbs', mode: 'snapshot', 'notes-template': '{{guestname}} {{vmid}}' })
  const [backup] = await ok('GET', '/nodes/pve1/storage/pbs/content', { vmid: 100 })
  assert.deepEqual([backup.format, backup.notes], ['pbs-vm', 'vm-100 100'])
  const volume = at.pve.cluster.storages.volume(backup.volid, 'pve1')
  assert.ok(volume)
  volume.verification = { state: 'ok', upid: 'UPID:pbs:1' }
  assert.equal((await ok('GET', '/nodes/pve1/storage/pbs/content'))[0].verification.state, 'ok')
  await ok('PUT', `/nodes/pve1/storage/pbs/content/${encodeURIComponent(backup.volid)}`, { notes: 'kept', protected: 1 })
  const [kept] = await ok('GET', '/nodes/pve1/storage/pbs/content', { vmid: 100 })
  assert.deepEqual([kept.notes, kept.protected], ['kept', 1])
  await done('POST', '/nodes/pve1/qemu', { vmid: 105, archive: backup.volid, storage: 'ceph', unique: 1 })
  assert.match((await ok('GET', '/nodes/pve1/qemu/105/config')).scsi0, /^ceph:vm-105-disk-0,/)
  await done('POST', '/nodes/pve1/qemu/105/migrate', { target: 'pve2' })
  await done('POST', '/nodes/pve2/qemu/105/template')
  await done('POST', '/nodes/pve2/qemu/105/clone', { newid: 106, target: 'pve1' })
  await done('DELETE', '/nodes/pve1/qemu/106')
})

test('tasks are listed, read and stopped', async () => {
  const { data: upid, total } = await at.root.get('/nodes/pve1/tasks', { limit: 1 }).then((answer) => ({ ...answer, data: answer.data[0].upid }))
  assert.ok((total ?? 0) > 20)
  const path = `/nodes/pve1/tasks/${encodeURIComponent(upid)}`
  assert.equal((await ok('GET', `${path}/status`)).exitstatus, 'OK')
  assert.equal((await ok('GET', `${path}/log`, { limit: 0 })).at(-1).t, 'TASK OK')
  await ok('DELETE', path)
  assert.deepEqual((await at.root.get('/nodes/pve1/tasks/nonsense/status')).errors, { upid: 'unable to parse worker upid' })
  assert.equal(
    (await ok('GET', '/nodes/pve1/tasks', { errors: 1 })).every((task: { status: string }) => task.status !== 'OK'),
    true,
  )
})

test('users, tokens, roles and grants are made', async () => {
  await ok('POST', '/access/roles', { roleid: 'Mine', privs: 'VM.Audit' })
  await ok('PUT', '/access/roles/Mine', { privs: 'VM.Clone', append: 1 })
  await ok('POST', '/access/users', { userid: 'new@pve' })
  await ok('POST', '/access/users/new@pve/token/tk')
  await ok('PUT', '/access/acl', { path: '/vms', tokens: 'new@pve!tk', users: 'new@pve', roles: 'Mine' })
  assert.deepEqual(
    (await ok('GET', '/access/acl')).map((grant: { type: string; roleid: string }) => [grant.type, grant.roleid]),
    [
      ['user', 'Mine'],
      ['token', 'Mine'],
    ],
  )
  assert.deepEqual((await ok('GET', '/access/permissions', { userid: 'new@pve!tk', path: '/vms/1' }))['/vms/1'], { 'VM.Audit': 1, 'VM.Clone': 1 })
  await ok('DELETE', '/access/users/new@pve/token/tk')
})

test('a ticket is given', async () => {
  at.pve.access.addUser('somebody@pve', { password: 'secret' })
  await ok('POST', '/access/ticket', { username: 'somebody', realm: 'pve', password: 'secret' })
})

test('every endpoint of the registry was asked by the tests above', () => {
  const asked = new Set(
    at.pve.journal.entries.filter((entry) => entry.status !== 400 && entry.status !== 501).map((entry) => `${entry.method} ${entry.template}`),
  )
  assert.deepEqual(
    Object.keys(ENDPOINTS).filter((key) => !asked.has(key)),
    [],
  )
})
