/** The port against real VMs under software emulation. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { MachineId } from '@autovibe/contract'
import { SECRETS } from '../../packages/hub/checkpoints/testing/place.ts'
import { freshDatabase } from '../../packages/hub/database/testing.ts'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import { gateKeySealing } from '../../packages/hub/security/secrets.ts'
import { ConformanceDoor } from '../../packages/hub/substrates/conformance-door.ts'
import { openGate } from '../../packages/hub/substrates/proxmox/gate/open-gate.ts'
import { until } from '../support/until.ts'
import type { Boot, Disk, GuestAgent } from './guests.ts'
import { bootOf, diskOf, fencedNetwork, fileOf, ranBy } from './guests-stage.ts'
import { codeDisk } from './qemu/code-disk.ts'
import { type VmImage, vmImage } from './qemu/image.ts'
import { vmsRefused } from './qemu/refused.ts'
import { QemuGuests, type QemuOptions } from './qemu-guests.ts'

const VM_MS = 180_000
const COUNT = '/run/count'
const never = new AbortController().signal

const skip = await vmsRefused()
let image: VmImage
let room = ''
before(async () => {
  room = await mkdtemp(join(tmpdir(), 'qm-'))
  if (skip === false) image = await vmImage()
})
after(async () => {
  assert.deepEqual(await readdir(room), [], 'nothing is left')
  await rm(room, { recursive: true })
})

function opened(t: TestContext, name: string, more: Partial<QemuOptions> = {}): QemuGuests {
  const guests = new QemuGuests({ root: join(room, name), image, ...more })
  t.after(() => guests.close())
  return guests
}

async function newDisk(guests: QemuGuests, key: string): Promise<Disk> {
  const disk = diskOf(key)
  await guests.createDisk(disk, { kind: 'file', path: image.disk })
  return disk
}

async function started(guests: QemuGuests, boot: Boot): Promise<GuestAgent> {
  await guests.start(boot)
  return answering(guests, boot.vmid)
}
const answering = (guests: QemuGuests, vmid: number): Promise<GuestAgent> =>
  until('the guest agent answers', VM_MS, async () => guests.agent(vmid) ?? undefined)
const said = async (agent: GuestAgent | null, script: string): Promise<string> => {
  const { exitcode, out, errors } = await ranBy(agent, ['/bin/sh', '-c', script])
  assert.equal(exitcode, 0, errors)
  return out
}

test('a VM boots with its serial number and name, freezes its file systems, is reset, and ends by its button', { skip }, async (t) => {
  const guests = opened(t, 'boot')
  const told: number[] = []
  guests.onEnded((vmid) => told.push(vmid))
  const boot = bootOf(100, [await newDisk(guests, 'a')], { config: { smbios1: `serial=${btoa('v1, with a comma')},base64=1` } })
  const agent = await started(guests, boot)
  assert.equal(await said(agent, 'cat /sys/class/dmi/id/product_serial; hostname'), 'v1, with a comma\nvm-100\n')
  assert.ok(guests.usage(100).cpuSeconds > 0)

  // One counts on the disk and one in RAM; both tell it to the console.
  const disk = 'n=0; while :; do n=$((n + 1)); echo $n >/var/n; sync; echo disk >/dev/ttyS0; usleep 10000; done'
  const ram = 'while :; do echo ram >/dev/ttyS0; usleep 10000; done'
  for (const script of [disk, ram]) await agent.execute('guest-exec', { path: '/bin/sh', arg: ['-c', script] })
  const lines = async (word: string): Promise<number> => (await readFile(guests.console(100), 'utf8')).split(word).length
  await until('both count', VM_MS, async () => ((await lines('disk')) > 3 && (await lines('ram')) > 3) || undefined)
  assert.equal(await agent.execute('guest-fsfreeze-freeze', {}), 1)
  assert.equal(await agent.execute('guest-fsfreeze-status', {}), 'frozen')
  await assert.rejects(agent.execute('guest-exec', { path: '/bin/true' }), /has been disabled/)
  const [onDisk, inRam] = [await lines('disk'), await lines('ram')]
  await until('the one in RAM goes on', VM_MS, async () => (await lines('ram')) > inRam + 20 || undefined)
  assert.ok((await lines('disk')) <= onDisk + 1, 'the one on the disk stands still')
  assert.equal(await agent.execute('guest-fsfreeze-thaw', {}), 1)
  await until('it goes on as well', VM_MS, async () => (await lines('disk')) > onDisk + 5 || undefined)

  const bootId = await said(agent, 'cat /proc/sys/kernel/random/boot_id')
  await guests.reset(100)
  assert.equal(guests.agent(100), null)
  assert.notEqual(await said(await answering(guests, 100), 'cat /proc/sys/kernel/random/boot_id'), bootId)
  await guests.shutdown(100)
  await until('the guest has ended by itself', VM_MS, async () => told.length === 1 || undefined)
  assert.deepEqual([told, guests.agent(100)], [[100], null])
})

test('RAM that was kept goes on with the same process at its count, and without it the VM boots on the disk of that moment', { skip }, async (t) => {
  const guests = opened(t, 'ram')
  const disk = await newDisk(guests, 'a')
  const boot = bootOf(100, [disk])
  const agent = await started(guests, boot)
  await agent.execute('guest-exec', { path: '/bin/sh', arg: ['-c', `n=0; while :; do n=$((n + 1)); echo $$ $n >${COUNT}; usleep 10000; done`] })
  const counted = async (): Promise<number[]> => (await said(await answering(guests, 100), `cat ${COUNT}`)).split(' ').map(Number)
  const bootId = await said(agent, 'echo then >/var/file; sync; cat /proc/sys/kernel/random/boot_id')
  const [pid, count = 0] = await until('it counts', VM_MS, async () => {
    const now = await counted()
    return now.length === 2 ? now : undefined
  })
  await guests.snapshot({ vmid: 100, running: true, name: 's1', disks: [disk], memory: 'ram' })
  await guests.snapshot({ vmid: 100, running: true, name: 's2', disks: [disk], memory: null })
  await said(agent, 'echo now >/var/file; sync')
  const later = await until('it has counted on', VM_MS, async () => {
    const [, now = 0] = await counted()
    return now > count + 200 ? now : undefined
  })

  await guests.stop(100)
  await guests.rollback(100, 's1', [disk])
  await guests.start({ ...boot, memory: 'ram' })
  const [samePid, goesOn = 0] = await counted()
  assert.equal(samePid, pid)
  assert.ok(goesOn >= count && goesOn < later, `${count} ${goesOn} ${later}`)
  assert.equal(await said(guests.agent(100), 'cat /proc/sys/kernel/random/boot_id; cat /var/file'), `${bootId}then\n`)

  await guests.stop(100)
  await guests.rollback(100, 's2', [disk])
  assert.notEqual(await said(await started(guests, boot), 'cat /proc/sys/kernel/random/boot_id'), bootId)
  assert.equal(await said(guests.agent(100), `cat /var/file; [ -e ${COUNT} ] || echo none`), 'then\nnone\n')
  await guests.deleteSnapshot({ vmid: 100, running: true, name: 's1', disks: [disk], memory: 'ram' })
  await assert.rejects(guests.start({ ...bootOf(101, [disk]), memory: 'ram' }), /no RAM/)
  await guests.stop(100)
  await assert.rejects(guests.rollback(100, 's1', [disk]), /s1/)
})

test('clones of a template and of a snapshot of a running VM boot and go their own way', { skip }, async (t) => {
  const guests = opened(t, 'clones')
  const template = await newDisk(guests, 'template')
  const [linked, full, ofSnapshot] = [diskOf('linked'), diskOf('full'), diskOf('of-snapshot')]
  await guests.cloneDisk(template, null, linked, 'linked')
  const agent = await started(guests, bootOf(100, [linked]))
  await said(agent, 'echo first >/var/file; sync')
  await guests.snapshot({ vmid: 100, running: true, name: 's1', disks: [linked], memory: null })
  await said(agent, 'echo second >/var/file; sync')
  await guests.cloneDisk(linked, 's1', ofSnapshot, 'linked')
  await guests.cloneDisk(template, null, full, 'full')
  await guests.pause(100)
  const states = await Promise.all([
    started(guests, bootOf(101, [ofSnapshot])).then((each) => said(each, 'cat /var/file')),
    started(guests, bootOf(102, [full])).then((each) => said(each, 'ls /var')),
  ])
  assert.deepEqual(states, ['first\n', 'lib\n'])
  await guests.resume(100)
  assert.equal(await said(agent, 'cat /var/file'), 'second\n')
  await guests.deleteDisk(template)
})

test('our guest links to the gate from a fenced VM, its agent works behind the door, and RAM that went back links again', { skip }, async (t) => {
  const place = { address: '10.90.0.1', port: 8443 }
  const door = new ConformanceDoor()
  const logger = { info: () => undefined, warn: () => undefined }
  const folder = await mkdtemp(join(room, 'g'))
  const database = await freshDatabase()
  const own = { db: database.db, sealing: gateKeySealing(SECRETS), dataDir: folder, door, logger }
  const gate = await openGate({ listen: { host: '127.0.0.1', port: 0 }, advertised: `${place.address}:${place.port}`, ...own })
  t.after(async () => {
    await gate.close()
    await database.close()
    await door.closeAll()
    await rm(folder, { recursive: true })
  })
  const code = await codeDisk(folder, 'packages/hub/substrates/conformance-agent.ts')
  const guests = opened(t, 'guest', { codeDisk: code, reachable: () => [{ ...place, to: { host: '127.0.0.1', port: gate.port } }] })
  const machineId: MachineId = systemRuntime.newId('machine')
  const toGate = { protocol: 'tcp', destination: place.address, destinationPort: `${place.port}` }
  const smbios1 = `serial=${btoa(await gate.invite(machineId))},base64=1`
  const disk = await newDisk(guests, 'a')
  const boot = bootOf(100, [disk], { network: fencedNetwork(), config: { smbios1 } })
  await guests.start(boot)
  await until('the guest tries and is refused', VM_MS, async () => (guests.running.get(100)?.network.refused ?? 0) > 0 || undefined)
  assert.equal(gate.current(machineId), null)
  await guests.networkChanged(100, fencedNetwork(toGate))
  const guest = await gate.linked(machineId, VM_MS, never)
  await guest.plant(null, never)
  await guest.startAgent(
    { machineId, name: 'machine', token: 'a-token-of-the-machine', memoryBytes: 256 * 1024 ** 2, processes: 200, diskBytes: 1024 ** 3 },
    never,
  )
  const ran = async (script: string): Promise<string> => String((await door.run(machineId, script)).output)
  assert.equal(await ran('pwd; id -u; hostname'), '/machine\n1000\nvm-100\n')
  const state = await guest.state(never)
  assert.ok(state.processes >= 1 && state.memoryBytes > 0)

  await ran('(echo kept in RAM >/dev/shm/file; exec sleep 1000) >/dev/null 2>&1 & echo started')
  await guests.snapshot({ vmid: 100, running: true, name: 's1', disks: [disk], memory: 'ram' })
  await guests.stop(100)
  await until('the link has ended', VM_MS, async () => gate.current(machineId) === null || undefined)
  await guests.rollback(100, 's1', [disk])
  await guests.start({ ...boot, network: fencedNetwork(toGate), memory: 'ram' })
  const again = await gate.linked(machineId, VM_MS, never)
  assert.deepEqual([(await again.state(never)).boot, (await again.state(never)).life], [state.boot, state.life])
  assert.equal(await ran('cat /dev/shm/file'), 'kept in RAM\n')
  await fileOf(guests.console(100), (text) => text.includes('the guest runs'))
})
