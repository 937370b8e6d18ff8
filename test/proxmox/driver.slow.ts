/** The driver of machines on Proxmox over HTTPS, with real VMs behind the stand-in: real boots, snapshots of disks and RAM, QEMU's own agent, and our guest in each. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, before, test } from 'node:test'
import type { MachineId } from '@autovibe/contract'
import { signal } from '../../packages/hub/substrates/conformance-stage.ts'
import type { TreeAccount } from '../../packages/hub/substrates/conformance-tree.ts'
import type { SnapshotHandle } from '../../packages/hub/substrates/substrate.ts'
import { DriverScene, GUEST_MIB, LIMITS, MIB } from './driver-scene.ts'
import { vmsRefused } from './qemu/refused.ts'

const skip = await vmsRefused()

let scene: DriverScene
let machineId: MachineId
let vmid = 0
let firstTree: TreeAccount
let first: SnapshotHandle
let withRam: SnapshotHandle
before(async () => {
  if (skip === false) scene = await DriverScene.open('dir')
})
after(() => skip === false && existsSync(scene.directory) && scene.stage.close())

const said = (id: MachineId, script: string): Promise<string> => scene.said(id, script)
const memoryMib = async (id: MachineId): Promise<number> => Number(/MemTotal: +(\d+) kB/.exec(await said(id, 'cat /proc/meminfo'))?.[1]) / 1024
/** The kernel keeps some of it for itself. */
const hasMemory = async (id: MachineId, mib: number): Promise<void> => {
  const seen = await memoryMib(id)
  assert.ok(seen > mib * 0.8 && seen <= mib, `${seen} MiB, not ${mib}`)
}

test('a machine is a linked clone that boots, registers by its invitation, and has its agent behind the door', { skip }, async () => {
  machineId = await scene.stage.create(null, LIMITS)
  vmid = (await scene.vmOf(machineId)).vmid
  assert.equal((await scene.image(vmid))['full-backing-filename'], scene.file(9000))
  await scene.stage.substrate.start(machineId, signal)
  const { config } = await scene.vmOf(machineId)
  assert.equal(await said(machineId, 'pwd; id -u; hostname'), `/machine\n1000\n${config['name']}\n`)
  await hasMemory(machineId, 256 + GUEST_MIB)
  assert.equal(await scene.stage.power(machineId), 'running')
  const usage = await scene.stage.seen(machineId, 'what it takes', ({ cpuSeconds, memoryBytes }) => cpuSeconds.value > 0 && memoryBytes.value > 0)
  // Its guest counts by a group of processes; of processor time the cluster's word may be the larger, an estimate for the first minutes.
  assert.equal(usage.memoryBytes.quality, 'measured')
  // Its invitation is for root alone, and so is what it became.
  for (const path of ['/sys/class/dmi/id/product_serial', '/var/lib/autovibe/identity.json'])
    assert.match(await said(machineId, `cat ${path} 2>&1 || true`), /Permission denied/)
})

test('the QEMU agent in it answers what Proxmox asks', { skip }, async () => {
  const { config } = await scene.vmOf(machineId)
  assert.match(String(((await scene.agent(machineId, 'info')) as { version: string }).version), /^\d+\.\d+\.\d+/)
  assert.deepEqual(await scene.agent(machineId, 'get-host-name'), { 'host-name': config['name'] })
  const cards = (await scene.agent(machineId, 'network-get-interfaces')) as readonly { readonly 'hardware-address'?: string }[]
  const mac = /=((?:[0-9A-F]{2}:){5}[0-9A-F]{2}),/.exec(config['net0'] ?? '')?.[1]?.toLowerCase()
  assert.ok(mac !== undefined && cards.some((card) => card['hardware-address'] === mac), JSON.stringify(cards))
  const serial = /serial=([^,]+)/.exec(config['smbios1'] ?? '')?.[1] ?? ''
  assert.equal(await scene.asRoot(machineId, 'cat /sys/class/dmi/id/product_serial'), `${Buffer.from(serial, 'base64')}\n`)
})

test('a checkpoint has the disk behind frozen file systems, and the machine works on', { skip }, async () => {
  await said(machineId, 'mkdir -p project/folder; echo then >project/folder/file; ln -s folder project/link; head -c 3000000 /dev/urandom >project/large')
  firstTree = await scene.stage.look(machineId)
  first = await scene.checkpoint(machineId)
  const task = scene.tasks(vmid).findLast(({ type }) => type === 'qmsnapshot')
  assert.equal(task?.exitstatus, 'OK')
  assert.doesNotMatch(task.log.join('\n'), /skipping guest filesystem freeze/)
  assert.deepEqual(
    (await scene.image(vmid)).snapshots?.map(({ name, 'vm-state-size': size }) => [name, size]),
    [[first, 0]],
  )
  await said(machineId, 'echo now >project/folder/file')
  assert.deepEqual(await scene.stage.treeOf(first), firstTree)
})

test('another Hub finds the machine at work, and keeps its RAM with a checkpoint', { skip }, async () => {
  scene.ground.settings = { withMemory: true }
  await scene.stage.reopen()
  await said(machineId, 'echo later >project/folder/file; (echo kept >/dev/shm/file; exec sleep 100000) >/dev/null 2>&1 &')
  withRam = await scene.checkpoint(machineId)
  const kept = (await scene.image(vmid)).snapshots?.find(({ name }) => name === withRam)
  assert.ok((kept?.['vm-state-size'] ?? 0) > 10 * MIB, JSON.stringify(kept))
  assert.equal(await said(machineId, 'echo newest >project/folder/file; cat /dev/shm/file'), 'kept\n')
})

test('a rollback to a disk leaves the machine off, and it boots on the tree of that time with the limits of now', { skip }, async () => {
  await scene.stage.substrate.limit(machineId, { ...LIMITS, memory_bytes: 384 * MIB }, signal)
  await hasMemory(machineId, 256 + GUEST_MIB)
  const before = scene.tasks(vmid).length
  await scene.stage.substrate.rollback(machineId, first, signal)
  assert.deepEqual(scene.since(vmid, before), ['qmshutdown OK', 'qmrollback OK'])
  assert.equal(await scene.stage.power(machineId), 'stopped')
  await scene.stage.substrate.start(machineId, signal)
  assert.deepEqual(await scene.stage.look(machineId), firstTree)
  await hasMemory(machineId, 384 + GUEST_MIB)
})

test('a rollback to RAM ends with the VM off, and the agent starts anew on the tree of that time', { skip }, async () => {
  await said(machineId, 'echo kept of another time >/dev/shm/file')
  const before = scene.tasks(vmid).length
  await scene.stage.substrate.rollback(machineId, withRam, signal)
  // Proxmox goes on from the RAM, as a VM of 256 MiB; the driver ends that.
  assert.deepEqual(scene.since(vmid, before), ['qmshutdown OK', 'qmrollback OK', 'qmstop OK'])
  const vm = await scene.vmOf(machineId)
  assert.deepEqual([vm.pid, vm.config['memory'], await scene.stage.power(machineId)], [null, String(256 + GUEST_MIB), 'stopped'])
  await scene.stage.substrate.start(machineId, signal)
  assert.equal(await said(machineId, 'cat project/folder/file; ls /dev/shm'), 'later\n')
  await hasMemory(machineId, 384 + GUEST_MIB)
})

test('a fork by the store is a clone of the template with the tree of the checkpoint, and somebody of its own', { skip }, async () => {
  const fork = await scene.stage.running(first, LIMITS)
  assert.deepEqual(await scene.stage.look(fork), firstTree)
  assert.equal((await scene.image((await scene.vmOf(fork)).vmid))['full-backing-filename'], scene.file(9000))
  await said(fork, 'echo fork >project/folder/file; sync')
  assert.equal(await said(machineId, 'cat project/folder/file'), 'later\n')
  const [one, other] = [await scene.asRoot(machineId, 'cat /etc/machine-id'), await scene.asRoot(fork, 'cat /etc/machine-id')]
  assert.match(one, /^[0-9a-f]{32}\n$/)
  assert.notEqual(one, other)

  await scene.ground.crash(fork)
  assert.equal(await scene.stage.power(fork), 'stopped')
  await scene.stage.substrate.start(fork, signal)
  assert.equal(await said(fork, 'cat project/folder/file'), 'fork\n')
})

test('what was destroyed leaves neither a VM nor a process nor a file', { skip }, async () => {
  await scene.stage.substrate.destroy(machineId, signal)
  assert.deepEqual([scene.ground.cluster.pve.cluster.vms.has(vmid), scene.ground.cluster.pve.cluster.guests.agent(vmid)], [false, null])
  await scene.stage.close()
  assert.deepEqual(await scene.processes(), [])
  assert.equal(existsSync(scene.directory), false)
})
