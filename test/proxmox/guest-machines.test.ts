/** The guest program in sandboxed VMs behind Proxmox's API, at a real gate. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import type { CheckpointId, MachineId } from '@autovibe/contract'
import { SECRETS } from '../../packages/hub/checkpoints/testing/place.ts'
import { type FreshDatabase, freshDatabase } from '../../packages/hub/database/testing.ts'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import { gateKeySealing } from '../../packages/hub/security/secrets.ts'
import { ConformanceDoor } from '../../packages/hub/substrates/conformance-door.ts'
import { accountAfter, accountFromInside } from '../../packages/hub/substrates/conformance-tree.ts'
import { type Gate, openGate } from '../../packages/hub/substrates/proxmox/gate/open-gate.ts'
import type { Guest } from '../../packages/hub/substrates/proxmox/guest-links.ts'
import { until } from '../support/until.ts'
import { type Asker, asker } from './ask.ts'
import { diskOf } from './boot.ts'
import { openGuestMachines } from './guest-machines.ts'
import { sandboxRefused } from './guests-stage.ts'
import type { SandboxGuests } from './sandbox-guests.ts'
import { expectOk } from './stage.ts'
import { type ProxmoxStandIn, startProxmox } from './stand-in.ts'
import { drivesOf } from './vm-config.ts'

const skip = sandboxRefused()
const AGENT = [process.execPath, resolve(import.meta.dirname, '../../packages/hub/substrates/conformance-agent.ts')]
const GATE = { address: '10.90.0.1', port: 8443 }
const never = new AbortController().signal
const WITHIN_MS = 60_000
const vm = (vmid: number): string => `/nodes/pve1/qemu/${vmid}`
const newMachine = (): MachineId => systemRuntime.newId('machine')
const newCheckpoint = (): CheckpointId => systemRuntime.newId('checkpoint')

let folder = ''
let door: ConformanceDoor
let gate: Gate
let database: FreshDatabase
let pve: ProxmoxStandIn
let root: Asker
let guests: SandboxGuests | undefined
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gm-'))
  door = new ConformanceDoor()
  const logger = { info: () => undefined, warn: () => undefined }
  database = await freshDatabase()
  const own = { db: database.db, sealing: gateKeySealing(SECRETS), dataDir: folder, door, logger }
  gate = await openGate({ listen: { host: '127.0.0.1', port: 0 }, advertised: `${GATE.address}:${GATE.port}`, ...own })
  pve = await startProxmox({
    secondMs: 4,
    storages: [{ id: 'thin', type: 'lvmthin' }],
    guests: async (directory) => {
      guests = await openGuestMachines({ root: join(directory, 'guests'), gate: { ...GATE, listens: () => gate.port }, agentCommand: AGENT })
      return guests
    },
  })
  root = asker(pve)
})
after(async () => {
  await pve.close()
  await gate.close()
  await database.close()
  await door.closeAll()
  await rm(folder, { recursive: true })
  assert.deepEqual(pve.violations, [])
})

const serial = (invitation: string): string => `uuid=${randomUUID()},serial=${Buffer.from(invitation).toString('base64')},base64=1`

/** A VM that lets out to the gate alone. */
async function fenced(vmid: number): Promise<void> {
  await root.ask('PUT', `${vm(vmid)}/firewall/options`, { enable: 1, policy_out: 'DROP' })
  await root.post(`${vm(vmid)}/firewall/rules`, { type: 'out', action: 'ACCEPT', dest: GATE.address, proto: 'tcp', dport: `${GATE.port}`, enable: 1 })
}

async function machine(vmid: number): Promise<{ readonly machineId: MachineId; readonly guest: Guest }> {
  const machineId = newMachine()
  const fields = { vmid, name: `vm-${vmid}`, memory: '512', agent: '1', scsi0: 'thin:1', net0: 'virtio,bridge=vmbr1,firewall=1' }
  expectOk(await root.task('POST', '/nodes/pve1/qemu', { ...fields, smbios1: serial(await gate.invite(machineId)) }))
  await fenced(vmid)
  expectOk(await root.task('POST', `${vm(vmid)}/status/start`))
  const guest = await gate.linked(machineId, WITHIN_MS, never)
  await guest.plant(null, never)
  await start(machineId, guest)
  return { machineId, guest }
}
const start = (machineId: MachineId, guest: Guest): Promise<void> =>
  guest.startAgent({ machineId, name: 'machine', token: 'a-token-of-the-machine', memoryBytes: 512 * 1024 ** 2, processes: 200, diskBytes: 1024 ** 3 }, never)

async function said(machineId: MachineId, script: string): Promise<string> {
  const { code, output } = await door.run(machineId, script)
  assert.equal(code, 0, `${script}: ${output}`)
  return String(output)
}

const asRoot = { skip: skip || (process.getuid?.() === 0 ? false : 'only root in the sandbox of root can become the agent’s user') }
test('a fenced VM links to the gate, and its agent works as its own user in the machine’s place, behind the machine’s door', asRoot, async () => {
  const { machineId, guest } = await machine(100)
  assert.equal(await said(machineId, 'pwd; id -u; hostname'), '/machine\n1000\nvm-100\n')
  assert.equal(await said(machineId, 'cat /var/lib/autovibe/identity.json 2>&1 || true'), 'cat: /var/lib/autovibe/identity.json: Permission denied\n')
  const state = await guest.state(never)
  assert.deepEqual([state.agent, state.hasTree], ['running', true])
  const used = pve.cluster.guests.usage(100)
  assert.ok(used.netInBytes > 0 && used.netOutBytes > 0 && used.memoryBytes > 0)
})

test('a VM that is stopped and started again is the same machine with the same tree, in another boot', { skip }, async () => {
  const { machineId, guest } = await machine(110)
  await said(machineId, 'echo kept >project/file')
  const before = await guest.state(never)
  await guest.sync(never)
  expectOk(await root.task('POST', `${vm(110)}/status/stop`))
  await until('the link has ended', WITHIN_MS, async () => gate.current(machineId) === null || undefined)
  expectOk(await root.task('POST', `${vm(110)}/status/start`))
  const again = await gate.linked(machineId, WITHIN_MS, never)
  const state = await again.state(never)
  assert.notEqual(state.boot, before.boot)
  assert.deepEqual([state.agent, state.hasTree], ['stopped', true])
  await start(machineId, again)
  assert.equal(await said(machineId, 'cat project/file'), 'kept\n')
})

test('a clone of a snapshot is another machine with the frozen tree, while the original goes on', { skip }, async () => {
  const { machineId, guest } = await machine(120)
  await said(machineId, 'mkdir project/folder; echo then >project/folder/file; ln -s folder project/link')
  const scene = await accountFromInside(door, machineId)
  const checkpoint = newCheckpoint()
  await guest.freeze(checkpoint, never)
  expectOk(await root.task('POST', `${vm(120)}/snapshot`, { snapname: 's1' }))
  await said(machineId, 'echo now >project/folder/file')
  expectOk(await root.task('POST', `${vm(120)}/clone`, { newid: 121, snapname: 's1', full: 1 }))
  const forkId = newMachine()
  expectOk(await root.task('POST', `${vm(121)}/config`, { smbios1: serial(await gate.invite(forkId)) }))
  await fenced(121)
  expectOk(await root.task('POST', `${vm(121)}/status/start`))
  const fork = await gate.linked(forkId, WITHIN_MS, never)
  assert.deepEqual((await fork.state(never)).frozen, [checkpoint])
  await fork.rollBack(checkpoint, never)
  await start(forkId, fork)
  assert.equal(await said(forkId, 'cat project/folder/file'), 'then\n')
  assert.deepEqual((await accountAfter(new Map(), fork.changes(checkpoint, null, never))).account, scene)
  assert.equal(await said(machineId, 'cat project/folder/file'), 'now\n')
  const [one, other] = await Promise.all([120, 121].map((vmid) => readFile(join(diskFolder(vmid), 'system/etc/machine-id'), 'utf8')))
  assert.notEqual(one, other)
})

test('without its rule to the gate a VM is cut off: neither a new link nor a new stream of the agent gets through', { skip }, async () => {
  const { machineId } = await machine(130)
  assert.equal((await root.ask('DELETE', `${vm(130)}/firewall/rules/0`)).status, 200)
  expectOk(await root.task('POST', `${vm(130)}/status/reset`))
  await until('the guest tries and is refused', WITHIN_MS, async () => (guests?.running.get(130)?.network.refused ?? 0) > 0 || undefined)
  assert.equal(gate.current(machineId), null)
  await root.post(`${vm(130)}/firewall/rules`, { type: 'out', action: 'ACCEPT', dest: GATE.address, proto: 'tcp', dport: `${GATE.port}`, enable: 1 })
  await start(machineId, await gate.linked(machineId, WITHIN_MS, never))
  assert.equal(await said(machineId, 'echo back'), 'back\n')
})

test('the button lets the guest end in order', { skip }, async () => {
  const { machineId } = await machine(140)
  await said(machineId, 'echo last >project/file')
  expectOk(await root.task('POST', `${vm(140)}/status/shutdown`, { timeout: 20_000 }))
  assert.equal(guests?.running.has(140), false)
  assert.equal(await readFile(join(diskFolder(140), 'trees/tree/project/file'), 'utf8'), 'last\n')
})

function diskFolder(vmid: number): string {
  const at = pve.cluster.vms.get(vmid)
  const drive = at && drivesOf(at.config).find(({ key }) => key === 'scsi0')
  if (!at || !drive || !guests) throw new Error(`VM ${vmid} has no disk`)
  return guests.folder(diskOf(pve.cluster, at, drive))
}
