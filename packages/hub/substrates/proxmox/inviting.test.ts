/** A gate with another address or certificate: machines come over when they are off anyway, and never behind the back of an agent at work. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { decodeInvitation, type GuestInvitation, type MachineId } from '@autovibe/contract'
import { invitationOf } from '@autovibe/core/proxmox/vm-config.ts'
import { type Asker, asker } from '../../../../test/proxmox/ask.ts'
import { diskOf } from '../../../../test/proxmox/boot.ts'
import { SandboxGuests } from '../../../../test/proxmox/sandbox-guests.ts'
import { expectOk } from '../../../../test/proxmox/stage.ts'
import { drivesOf } from '../../../../test/proxmox/vm-config.ts'
import { type FreshDatabase, freshDatabase } from '../../database/testing.ts'
import { systemRuntime } from '../../runtime.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { TOKEN } from '../conformance-stage.ts'
import { type OpenHub, OTHER_GATE_HOST, openHub, TestCluster } from './test-cluster.ts'

const NEVER = new AbortController().signal
const LINKED_MS = 20_000

let cluster: TestCluster
let database: FreshDatabase
let dataDir: string
let root: Asker
let door = new ConformanceDoor()
let hub: OpenHub
before(async () => {
  cluster = await TestCluster.start({ storage: 'lvmthin' })
  database = await freshDatabase()
  dataDir = await mkdtemp(join(tmpdir(), 'avi-'))
  root = asker(cluster.pve)
  hub = await open()
})
after(async () => {
  await end()
  await cluster.close()
  await database.close()
  await rm(dataDir, { recursive: true, force: true })
})

function open(gateHost?: string): Promise<OpenHub> {
  const trees = { state: async () => 'gone' as const, tar: never, changes: never }
  const own = { dataDir, database, door, trees, tokenOf: async () => TOKEN, patience: { idleMs: 600_000, linkMs: 1_000 } }
  return openHub(cluster, { ...own, ...(gateHost === undefined ? {} : { gateHost }) })
}
function never(): never {
  throw new Error('the store is not asked')
}
async function end(): Promise<void> {
  await hub.close()
  await door.closeAll()
  door = new ConformanceDoor()
}

/** With its agent at work. */
async function machine(): Promise<MachineId> {
  const machineId = systemRuntime.newId('machine')
  await hub.substrate.create({ machineId, name: 'machine', from: null, token: TOKEN }, NEVER)
  await hub.substrate.start(machineId, NEVER)
  return machineId
}
async function vmOf(machineId: MachineId): Promise<{ readonly vmid: number; readonly path: string }> {
  const { vmid, node } = await database.db.selectFrom('proxmox_vms').select(['vmid', 'node']).where('machine_id', '=', machineId).executeTakeFirstOrThrow()
  return { vmid, path: `/nodes/${node}/qemu/${vmid}` }
}
async function told(machineId: MachineId): Promise<GuestInvitation | null> {
  const { path } = await vmOf(machineId)
  return decodeInvitation(invitationOf((await root.get(`${path}/config`)).data) ?? '')
}
async function letOutTo(machineId: MachineId): Promise<string[]> {
  const { path } = await vmOf(machineId)
  return ((await root.get(`${path}/firewall/rules`)).data as { dest: string }[]).map(({ dest }) => dest)
}
async function systemId(machineId: MachineId): Promise<string> {
  const vm = cluster.pve.cluster.vms.get((await vmOf(machineId)).vmid)
  const drive = vm && drivesOf(vm.config).find(({ key }) => key === 'scsi0')
  assert.ok(vm && drive)
  const { guests } = cluster
  assert.ok(guests instanceof SandboxGuests)
  return readFile(join(guests.folder(diskOf(cluster.pve.cluster, vm, drive)), 'system/etc/machine-id'), 'utf8')
}
async function lifeOf(machineId: MachineId): Promise<string> {
  return (await (await hub.gate.linked(machineId, LINKED_MS, NEVER)).state(NEVER)).life
}
const said = async (machineId: MachineId): Promise<string> => String((await door.run(machineId, 'echo here')).output)
const left = async (): Promise<string[]> => {
  await hub.substrate.list(NEVER)
  return hub.substrate.findings().flatMap(({ name, detail }) => (name === 'gate' ? [detail] : []))
}

test('another address reaches those that are off before their next start, and those at work when they are stopped and started', async () => {
  const [works, rests] = [await machine(), await machine()]
  await hub.substrate.stop(rests, NEVER)
  expectOk(await root.task('POST', `${(await vmOf(rests)).path}/status/stop`))
  const [lifeBefore, systemBefore] = [await lifeOf(works), await systemId(rests)]
  const invitedBefore = await told(works)
  assert.deepEqual(await left(), [])
  await end()
  hub = await open(OTHER_GATE_HOST)

  // The old address is still answered: who is at work goes on, and is told of.
  assert.equal(await lifeOf(works), lifeBefore)
  assert.equal(await said(works), 'here\n')
  assert.deepEqual(await told(works), invitedBefore)
  const [detail, ...others] = await left()
  assert.equal(others.length, 0)
  assert.match(detail ?? '', new RegExp(`, 1 were told of another .* 1 of them are linked there: ${works}\\.`))
  assert.match(
    hub.substrate.findings().find(({ name }) => name === 'gate')?.fix ?? '',
    new RegExp(`^autovibe machine stop ${works} && autovibe machine start ${works}$`),
  )

  await hub.substrate.start(rests, NEVER)
  assert.equal(await said(rests), 'here\n')
  assert.deepEqual([(await told(rests))?.address.split(':')[0], await letOutTo(rests)], [OTHER_GATE_HOST, [OTHER_GATE_HOST]])
  // It is the same machine as before.
  assert.equal(await systemId(rests), systemBefore)

  // A repeated start changes nothing for an agent at work.
  await hub.substrate.start(works, NEVER)
  assert.equal(await lifeOf(works), lifeBefore)
  await hub.substrate.stop(works, NEVER)
  await hub.substrate.start(works, NEVER)
  assert.equal(await said(works), 'here\n')
  assert.deepEqual([(await told(works))?.address.split(':')[0], await letOutTo(works), await left()], [OTHER_GATE_HOST, [OTHER_GATE_HOST], []])
})

test('another certificate shuts out those that are on, which are named, and come over with a stop and a start', async () => {
  const works = await machine()
  await end()
  await database.db.deleteFrom('gate').execute()
  await database.db.deleteFrom('gate_admissions').execute()
  hub = await open(OTHER_GATE_HOST)
  const named = await left()
  assert.match(named[0] ?? '', new RegExp(`0 of them are linked there: .*${works}`))
  await hub.substrate.stop(works, NEVER)
  await hub.substrate.start(works, NEVER)
  assert.equal((await told(works))?.fingerprint, hub.gate.fingerprint)
  assert.equal(await said(works), 'here\n')
})

test('a VM that was not told what the database remembers is invited again, once', async () => {
  const machineId = await machine()
  const { path } = await vmOf(machineId)
  const before = await told(machineId)
  const off = async (): Promise<void> => {
    await hub.substrate.stop(machineId, NEVER)
    expectOk(await root.task('POST', `${path}/status/stop`))
  }
  await off()
  // As a Hub that was killed between the row and the VM, or whose database came back from a backup.
  await hub.gate.invite(machineId)
  await hub.substrate.start(machineId, NEVER)
  const again = await told(machineId)
  assert.notEqual(again?.secret, before?.secret)
  await off()
  await hub.substrate.start(machineId, NEVER)
  assert.deepEqual(await told(machineId), again)
})
