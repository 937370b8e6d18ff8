import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { until } from '../support/until.ts'
import { expectOk, type Stage, stage } from './stage.ts'

let at: Stage
let vmid = 100
const next = (): number => vmid++
const vm = (id: number): string => `/nodes/pve1/qemu/${id}`
before(async () => {
  at = await stage({
    nodes: [{ name: 'pve1', memoryBytes: 16 * 1024 ** 3 }, { name: 'pve2' }],
    storages: [
      { id: 'thin', type: 'lvmthin' },
      { id: 'ceph', type: 'rbd' },
    ],
  })
})
after(() => at.close())

test('a VM starts once, and its guest gets disks, cloud-init and a fenced card', async () => {
  const { root, guests } = at
  const id = next()
  await at.create(id, 'thin', {
    ciuser: 'agent',
    sshkeys: encodeURIComponent('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 hub'),
    ipconfig0: 'ip=10.0.0.5/24,gw=10.0.0.1',
    nameserver: '10.0.0.1',
  })
  await root.ask('PUT', `${vm(id)}/firewall/options`, { enable: 1, policy_out: 'DROP' })
  await root.post(`${vm(id)}/firewall/rules`, { type: 'out', action: 'ACCEPT', dest: '10.0.0.1', proto: 'tcp', dport: '8443', enable: 1, comment: 'door' })
  expectOk(await root.task('POST', `${vm(id)}/status/start`))
  assert.equal(await root.task('POST', `${vm(id)}/status/start`), `VM ${id} already running`)
  const boot = guests.running.get(id)?.boot
  assert.match(boot?.cloudInit?.user ?? '', /hostname: vm-\d+\n[\s\S]*user: agent\n[\s\S]*ssh_authorized_keys:\n {2}- ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 hub\n/)
  assert.match(boot?.cloudInit?.network ?? '', /address: '10\.0\.0\.5'\n\s+netmask: '255\.255\.255\.0'\n\s+gateway: '10\.0\.0\.1'/)
  assert.match(boot?.cloudInit?.meta ?? '', /^instance-id: [0-9a-f]{40}\n$/)
  assert.deepEqual(
    boot?.network.nics.map((nic) => [nic.bridge, nic.fenced]),
    [['vmbr1', true]],
  )
  assert.deepEqual(boot?.network.rules, [
    { type: 'out', direction: 'out', action: 'ACCEPT', enabled: true, protocol: 'tcp', destination: '10.0.0.1', destinationPort: '8443', comment: 'door' },
  ])
  assert.equal(boot?.network.policyOut, 'DROP')
  await root.ask('PUT', `${vm(id)}/firewall/options`, { enable: 0 })
  assert.equal(guests.running.get(id)?.network.nics[0]?.fenced, false, 'a change reaches the running guest')
})

test('while the datacenter’s firewall is off, no card is fenced', async () => {
  const { root, guests, pve } = at
  const id = next()
  await at.create(id, 'thin')
  await root.ask('PUT', `${vm(id)}/firewall/options`, { enable: 1 })
  pve.cluster.firewallOn = false
  expectOk(await root.task('POST', `${vm(id)}/status/start`))
  pve.cluster.firewallOn = true
  assert.equal(guests.running.get(id)?.network.nics[0]?.fenced, false)
  await root.ask('PUT', `${vm(id)}/firewall/options`, { enable: 1 })
  assert.equal(guests.running.get(id)?.network.nics[0]?.fenced, true)
})

test('keys that ssh would not take, or that are encoded too little, are refused', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  assert.equal((await root.ask('PUT', `${vm(id)}/config`, { sshkeys: encodeURIComponent('not a key') })).reason, 'SSH public key validation error')
  assert.equal((await root.ask('PUT', `${vm(id)}/config`, { sshkeys: 'ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5' })).status, 200)
})

test('what a running VM cannot take waits for its next start', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  expectOk(await root.task('POST', `${vm(id)}/status/start`))
  assert.equal((await root.ask('PUT', `${vm(id)}/config`, { cores: 4, description: 'now' })).status, 200)
  const pending = (await root.get(`${vm(id)}/pending`)).data
  assert.deepEqual(
    pending.find((each: { key: string }) => each.key === 'cores'),
    { key: 'cores', value: '1', pending: '4' },
  )
  assert.equal((await root.get(`${vm(id)}/config`)).data.cores, 4)
  assert.equal((await root.get(`${vm(id)}/config`, { current: 1 })).data.cores, 1)
  expectOk(await root.task('POST', `${vm(id)}/status/reboot`))
  assert.equal((await root.get(`${vm(id)}/config`, { current: 1 })).data.cores, 4)
})

test('a guest that ignores the button keeps running until it is forced', async () => {
  const { root, guests } = at
  const id = next()
  await at.create(id, 'thin')
  expectOk(await root.task('POST', `${vm(id)}/status/start`))
  guests.stubborn.add(id)
  assert.equal(await root.task('POST', `${vm(id)}/status/shutdown`, { timeout: 2 }), 'VM quit/powerdown failed - got timeout')
  assert.equal((await root.ask('DELETE', vm(id))).reason, `VM ${id} is running - destroy failed`)
  expectOk(await root.task('POST', `${vm(id)}/status/shutdown`, { timeout: 2, forceStop: 1 }))
  assert.equal((await root.get(`${vm(id)}/status/current`)).data.status, 'stopped')
})

test('a guest that ends by itself is seen as stopped', async () => {
  const { root, guests } = at
  const id = next()
  await at.create(id, 'thin')
  expectOk(await root.task('POST', `${vm(id)}/status/start`))
  guests.end(id)
  assert.equal((await root.get(`${vm(id)}/status/current`)).data.status, 'stopped')
})

test('pausing, going on and resetting want a VM that runs', async () => {
  const { root, guests } = at
  const id = next()
  await at.create(id, 'thin')
  for (const what of ['suspend', 'resume', 'reset', 'reboot']) assert.equal((await root.post(`${vm(id)}/status/${what}`)).reason, `VM ${id} not running`, what)
  expectOk(await root.task('POST', `${vm(id)}/status/start`))
  expectOk(await root.task('POST', `${vm(id)}/status/suspend`))
  assert.equal((await root.get(`${vm(id)}/status/current`)).data.qmpstatus, 'paused')
  assert.equal((await root.post(`${vm(id)}/status/shutdown`)).reason, 'VM is paused - cannot shutdown')
  assert.equal(guests.running.get(id)?.paused, true)
  expectOk(await root.task('POST', `${vm(id)}/status/resume`))
  expectOk(await root.task('POST', `${vm(id)}/status/reset`))
  expectOk(await root.task('POST', `${vm(id)}/status/stop`))
})

test('a node gives no more memory than it has', async () => {
  const { root } = at
  const [big, bigger] = [next(), next()]
  await at.create(big, 'thin', { memory: '1024' })
  await at.create(bigger, 'thin', { memory: '16384' })
  expectOk(await root.task('POST', `${vm(big)}/status/start`))
  assert.match(await root.task('POST', `${vm(bigger)}/status/start`), /^start failed: QEMU exited with code 1: cannot set up guest memory/)
  expectOk(await root.task('POST', `${vm(big)}/status/stop`))
})

test('the guest agent answers a running VM that has one, and Proxmox says when it does not', async () => {
  const { root, guests } = at
  const [id, without] = [next(), next()]
  await at.create(id, 'thin')
  await at.create(without, 'thin', { agent: '0' })
  await root.ask('PUT', `${vm(without)}/config`, { delete: 'agent' })
  assert.equal((await root.post(`${vm(without)}/agent/ping`)).reason, 'No QEMU guest agent configured')
  assert.equal((await root.post(`${vm(id)}/agent/ping`)).reason, `VM ${id} is not running`)
  expectOk(await root.task('POST', `${vm(id)}/status/start`))
  assert.deepEqual((await root.post(`${vm(id)}/agent/ping`)).data, { result: {} })
  guests.silent.add(id)
  assert.equal((await root.post(`${vm(id)}/agent/ping`)).reason, 'QEMU guest agent is not running')
  guests.silent.delete(id)
  assert.equal((await root.post(`${vm(id)}/agent/fsfreeze-freeze`)).data.result, 1)
  assert.equal((await root.post(`${vm(id)}/agent/fsfreeze-status`)).data.result, 'frozen')
  assert.match((await root.post(`${vm(id)}/agent/fsfreeze-freeze`)).reason, /^Agent error: /)
  assert.equal((await root.post(`${vm(id)}/agent/fsfreeze-thaw`)).data.result, 1)
  await root.post(`${vm(id)}/agent/file-write`, { file: '/etc/../etc/secret', content: 'once' })
  assert.equal((await root.get(`${vm(id)}/agent/file-read`, { file: '/etc/secret' })).data.content, 'once')
  assert.match((await root.get(`${vm(id)}/agent/file-read`, { file: '/nowhere' })).reason, /^Agent error: failed to open file/)
  guests.runInGuest = (_, command, input) => ({ exitCode: 3, output: `${command.join(' ')}<${input}` })
  const { data } = await root.post(`${vm(id)}/agent/exec`, { command: ['/bin/cat', '-'], 'input-data': 'in' })
  assert.deepEqual((await root.get(`${vm(id)}/agent/exec-status`, { pid: data.pid })).data, { exited: 1, exitcode: 3, 'out-data': '/bin/cat -<in' })
})

test('a VM under high availability starts by its manager', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin', { 'ha-managed': 1 })
  const { data: upid } = await root.post(`${vm(id)}/status/start`)
  assert.match(upid, /:hastart:/)
  expectOk(await root.ended(upid))
  await until('the VM runs', 10_000, async () => ((await root.get(`${vm(id)}/status/current`)).data.status === 'running' ? true : undefined))
  expectOk(await root.task('POST', `${vm(id)}/status/stop`))
  assert.equal((await root.get('/cluster/ha/resources')).data[0].sid, `vm:${id}`)
})

test('a disk grows and never shrinks, and a drive that is taken out stays as unused', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  const resize = (size: string): Promise<string> => root.task('PUT', `${vm(id)}/resize`, { disk: 'scsi0', size })
  expectOk(await resize('+1G'))
  assert.equal((await root.get(`${vm(id)}/config`)).data.scsi0, `thin:vm-${id}-disk-0,size=2G`)
  assert.equal(await resize('1G'), 'shrinking disks is not supported')
  assert.equal(await root.task('PUT', `${vm(id)}/resize`, { disk: 'scsi5', size: '1G' }), "disk 'scsi5' does not exist")
  await root.ask('PUT', `${vm(id)}/config`, { delete: 'scsi0' })
  assert.equal((await root.get(`${vm(id)}/config`)).data.unused0, `thin:vm-${id}-disk-0`)
  await root.ask('PUT', `${vm(id)}/config`, { delete: 'unused0' })
  assert.equal(at.pve.cluster.storages.volume(`thin:vm-${id}-disk-0`, 'pve1'), undefined)
})

test('a VM moves with its local disk when it stands, and runs on elsewhere from shared storage', async () => {
  const { root } = at
  const [local, shared] = [next(), next()]
  await at.create(local, 'thin')
  await at.create(shared, 'ceph')
  expectOk(await root.task('POST', `${vm(local)}/migrate`, { target: 'pve2' }))
  assert.equal((await root.get(`${vm(local)}/config`)).reason, `Configuration file 'nodes/pve1/qemu-server/${local}.conf' does not exist`)
  assert.equal((await root.get(`/nodes/pve2/qemu/${local}/config`)).status, 200)
  expectOk(await root.task('POST', `${vm(shared)}/status/start`))
  assert.deepEqual((await root.post(`${vm(shared)}/migrate`, { target: 'pve2' })).errors, { online: "can't migrate running VM without --online" })
  expectOk(await root.task('POST', `${vm(shared)}/migrate`, { target: 'pve2', online: 1 }))
  assert.equal((await root.get(`/nodes/pve2/qemu/${shared}/status/current`)).data.status, 'running')
})

test('a wrong digest stops a change of the configuration', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  const { digest } = (await root.get(`${vm(id)}/config`)).data
  assert.equal((await root.ask('PUT', `${vm(id)}/config`, { name: 'a', digest: '0'.repeat(40) })).reason, 'checksum mismatch (file change by other user?)')
  assert.equal((await root.ask('PUT', `${vm(id)}/config`, { name: 'a', digest })).status, 200)
})
