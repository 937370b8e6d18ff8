/** Proxmox failing by seed under every operation that a machine can meet: whatever goes wrong, nothing is left without an owner, nothing of others is touched, and nothing hangs. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { CheckpointId, MachineId } from '@autovibe/contract'
import { type Seeded, seededFaults } from '../../../../test/proxmox/faults.ts'
import { seeds } from '../../../../test/support/seeds.ts'
import { enqueue } from '../../operations/engine/enqueue.ts'
import { type EngineLife, engineLife } from '../../operations/faults/engine-life.ts'
import { SCENARIOS } from '../../operations/faults/scenarios.ts'
import { sweepUntilQuiet } from '../../operations/faults/sweep-until-quiet.ts'
import { registry } from '../../operations/registry.ts'
import { spawnMachine } from '../../operations/spawn-machine.ts'
import { projectBudget } from '../../operations/steps/budgets.ts'
import { openProxmoxWorld, type ProxmoxWorld } from './test-world.ts'

/** `npm run soak -- proxmox --seeds 500` plays as many schedules. */
const SEEDS = seeds(14, 1)
const KINDS = ['spawn-machine', 'create-checkpoint', 'fork-checkpoint', 'rollback-machine', 'stop-machine', 'start-machine', 'destroy-machine'] as const
const BUDGET_NANO_USD = '1000000000'
const SWEEPS_MAX = 6
const FOREIGN = 900_010

let proxmox: ProxmoxWorld
let life: EngineLife
let checkpointId: CheckpointId
let foreign: string | null

before(async () => {
  proxmox = await openProxmoxWorld({ storage: 'rbd', nodes: 3 }, { storeMs: 100, bootMs: 6_000, linkMs: 1_000, idleMs: 500 })
  life = engineLife(proxmox.world, registry)
  // In the middle of our own range, under a name of its own.
  proxmox.cluster.pve.plantVm({ vmid: FOREIGN, node: 'pve2', name: 'mail', tags: 'prod' })
  foreign = proxmox.cluster.pve.digestOfVm(FOREIGN)
  const first = await readyMachine(null)
  const asked = await proxmox.world.database.db.transaction().execute((tx) => proxmox.world.requests.createCheckpoint(tx, first, 'the start'))
  await life.settle()
  checkpointId = asked.checkpointId
})
after(async () => {
  await life.close()
  await proxmox.close()
})

for (let seed = SEEDS.first; seed < SEEDS.first + SEEDS.count; seed++) {
  const kind = KINDS[seed % KINDS.length] ?? 'spawn-machine'
  test(`${kind} among failures of Proxmox (seed ${seed}) leaves nothing behind`, () => schedule(kind, seed))
}

async function schedule(kind: (typeof KINDS)[number], seed: number): Promise<void> {
  const { world, cluster } = proxmox
  const machineId = await readyMachine(checkpointId)
  const scenario = SCENARIOS[kind]
  assert.ok(scenario)
  const hubUser = (who: string | null): boolean => who?.startsWith('autovibe@pve') === true
  const faults = seededFaults({ seed, rate: 0.15, most: 5, spare: ({ who }) => !hubUser(who) })
  cluster.pve.setFaults(faults.hook)
  await scenario({ world, machineId, checkpointId, settle: () => life.settle() })
  await life.settle()
  cluster.pve.setFaults(null)
  await sweepUntilQuiet(world, life, SWEEPS_MAX, () => JSON.stringify(faults.met))
  await assertWhole(faults)
  await clearAway()
}

/** Every operation has an end or says why it is stuck; every VM has an owner; nobody else's was written to. */
async function assertWhole(faults: Seeded): Promise<void> {
  const { world, cluster } = proxmox
  const { db } = world.database
  const told = JSON.stringify(faults.met)
  const operations = await db.selectFrom('operations').select(['kind', 'state', 'error', 'machine_id', 'input']).where('ended_at', 'is', null).execute()
  for (const { kind, state, error } of operations) assert.ok(state === 'stuck' && error !== null, `${kind} is ${state}: ${told}`)
  const held = new Set(operations.flatMap(({ machine_id, input }) => [machine_id, input['machineId']]))
  const living = new Set((await db.selectFrom('machines').select('id').where('state', '<>', 'destroyed').execute()).map(({ id }) => id))
  const rows = new Map((await db.selectFrom('proxmox_vms').selectAll().execute()).map((row) => [row.vmid, row]))
  for (const { vmid, config } of cluster.pve.cluster.vms.values()) {
    if (vmid < cluster.settings.vmids.from || !config['name']?.startsWith('av-')) continue
    const row = rows.get(vmid)
    assert.ok(row, `VM ${vmid} (${config['name']}) has no owner: ${told}`)
    assert.ok(
      living.has(row.machine_id) || held.has(row.machine_id) || row.state === 'remains',
      `VM ${vmid} belongs to ${row.machine_id}, which is no more: ${told}`,
    )
  }
  for (const { machine_id, vmid, state } of rows.values())
    if (state === 'made' && !held.has(machine_id)) assert.ok(cluster.pve.cluster.vms.has(vmid), `the VM ${vmid} of ${machine_id} is lost: ${told}`)
  const storage = cluster.pve.cluster.storages.get('machines')
  for (const { volid, vmid } of cluster.pve.cluster.storages.volumes(storage, 'pve1'))
    assert.ok(vmid === null || cluster.pve.cluster.vms.has(vmid), `the volume ${volid} is left of a VM that is gone: ${told}`)
  assert.equal(cluster.pve.digestOfVm(FOREIGN), foreign, told)
  assert.deepEqual(cluster.pve.journal.writesTo(FOREIGN), [])
}

/** An administrator does what the errors say, and the Hub goes on from there. */
async function clearAway(): Promise<void> {
  const { world, cluster } = proxmox
  const { db } = world.database
  const stuck = await db.selectFrom('operations').select(['id', 'machine_id', 'input']).where('state', '=', 'stuck').execute()
  for (const { id, machine_id, input } of stuck) {
    const row = await db
      .selectFrom('proxmox_vms')
      .select('vmid')
      .where('machine_id', '=', (machine_id ?? input['machineId']) as MachineId)
      .executeTakeFirst()
    const vm = row && cluster.pve.cluster.vms.get(row.vmid)
    if (vm) {
      vm.lock = null
      cluster.pve.cluster.vms.delete(vm.vmid)
    }
    await db.transaction().execute((tx) => world.requests.retryOperation(tx, id))
  }
  await life.settle()
  const left = await db.selectFrom('operations').select(['kind', 'error']).where('state', '=', 'stuck').execute()
  assert.deepEqual(left, [], 'what was stuck goes on when its reason is gone')
  for (const { id } of await db.selectFrom('machines').select('id').where('state', 'not in', ['destroyed', 'ready']).execute())
    await db.transaction().execute((tx) => world.requests.destroyMachine(tx, id))
  await life.settle()
}

async function readyMachine(from: CheckpointId | null): Promise<MachineId> {
  const { world } = proxmox
  const { db } = world.database
  const [left, ...others] = await db.selectFrom('machines').select('id').where('state', '=', 'ready').execute()
  for (const { id } of others) await db.transaction().execute((tx) => world.requests.destroyMachine(tx, id))
  await life.settle()
  if (left) return left.id
  await db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
  const { id: machineId } = await world.newMachine(from)
  const input = { machineId, projectId: world.projectId, runId: null, from, limitNanoUsd: BUDGET_NANO_USD }
  await db.transaction().execute((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
  await life.settle()
  const { state } = await db.selectFrom('machines').select('state').where('id', '=', machineId).executeTakeFirstOrThrow()
  assert.equal(state, 'ready')
  return machineId
}
