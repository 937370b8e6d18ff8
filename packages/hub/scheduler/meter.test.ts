/** The Hub's looks at real machines: what they use is charged once whatever dies in between, and what reaches a limit ends with its reason. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { MachineId, MachineLimits, RunId } from '@autovibe/contract'
import type { Room } from '@autovibe/core/limits/verdict.ts'
import { isMetered, takeMeasured, takeMeter } from '../metering/meter.ts'
import { advance } from '../operations/engine/advance.ts'
import { claimNext } from '../operations/engine/claim.ts'
import { enqueue } from '../operations/engine/enqueue.ts'
import { silentLog } from '../operations/engine/testing.ts'
import { type EngineLife, engineLife } from '../operations/faults/engine-life.ts'
import { machineRow, openWorld, type World } from '../operations/faults/world.ts'
import { registry } from '../operations/registry.ts'
import { insertRun } from '../operations/requests/rows.ts'
import { spawnMachine } from '../operations/spawn-machine.ts'
import { projectBudget } from '../operations/steps/budgets.ts'
import { changeMachine } from '../operations/steps/machine-state.ts'
import { changeRun } from '../operations/steps/run-state.ts'
import { stopMachine } from '../operations/stop-machine.ts'
import { type Disks, lookAtMachines } from './meter.ts'

const HOUR_MS = 3_600_000
const ROOMY: Room = { freeBytes: 2 ** 40, totalBytes: 2 ** 41, freeFiles: null }
const signal = new AbortController().signal

let world: World
let life: EngineLife
let machineId: MachineId

before(async () => {
  world = await openWorld()
  life = engineLife(world, registry)
})
after(async () => {
  await life.close()
  await world.close()
})
beforeEach(async () => {
  const { db } = world.database
  await db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
  machineId = (await world.newMachine(null)).id
  const input = { machineId, projectId: world.projectId, runId: null, from: null, limitNanoUsd: '1000000000' }
  await db.transaction().execute((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
  await life.settle()
})

const look = (disks: Disks = new Map(), room: Room = ROOMY) => lookAtMachines({ ...world.ports, log: silentLog, room: async () => room }, disks)
const limit = (change: Partial<MachineLimits>) => world.database.db.transaction().execute((tx) => world.requests.limitMachine(tx, machineId, change))
const runRow = (id: RunId) => world.database.db.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
const reached = () =>
  world.database.db.selectFrom('events').select('data').where('machine_id', '=', machineId).where('type', '=', 'machine.limit_reached').execute()

/** The rows of a run at work, of which the machine's agent is not told. */
function runAtWork(): Promise<RunId> {
  return world.database.db.transaction().execute(async (tx) => {
    const machine = await machineRow(world, machineId)
    const id = await insertRun(world.ports, tx, { prompt: 'Say hello', agent: 'builtin', provider: 'nobody', model: 'claude-sonnet-5', machine, resume: false })
    await changeRun(tx, world.clock, world.ports.ledger, await tx.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirstOrThrow(), 'start', null)
    await changeMachine(tx, world.clock, machine, 'work', null, { run_id: id })
    return id
  })
}

/** Time passes for the agents too. */
async function pass(ms: number): Promise<void> {
  await life.shift(ms)
  await world.database.db.updateTable('machines').set({ last_heartbeat_at: world.clock.now() }).where('id', '=', machineId).execute()
}

/** Advances what is due, without waiting for runs to end. */
async function workOff(): Promise<void> {
  const { db } = world.database
  const engine = { db, runtime: world.clock, registry, ports: world.ports, owner: 'meter', log: silentLog }
  for (let claimed = await claimNext(engine); claimed; claimed = await claimNext(engine)) await advance(engine, claimed.claim, claimed.row)
}

async function used(resource: string): Promise<{ run: string | null; amount: number }[]> {
  const rows = await world.database.db
    .selectFrom('usage_events')
    .select(['run_id', 'amount'])
    .where('machine_id', '=', machineId)
    .where('resource', '=', resource)
    .orderBy('id')
    .execute()
  return rows.map(({ run_id, amount }) => ({ run: run_id, amount: Number(amount) }))
}

test('a run at work for longer than its machine allows fails, told once, and a pause does not count', async () => {
  const run = await runAtWork()
  await limit({ wall_seconds: 2 * 3600 })
  await pass(HOUR_MS)
  await look()
  const { db } = world.database
  const { ledger } = world.ports
  await db.transaction().execute(async (tx) => changeRun(tx, world.clock, ledger, await runRow(run), 'pause', 'For a while.'))
  await pass(5 * HOUR_MS)
  await look()
  assert.equal((await runRow(run)).state, 'paused')
  await db.transaction().execute(async (tx) => changeRun(tx, world.clock, ledger, await runRow(run), 'start', null))
  await pass(HOUR_MS / 2)
  await look()
  assert.deepEqual([(await runRow(run)).state, (await reached()).length], ['running', 0])
  await pass(HOUR_MS / 2)
  for (let times = 0; times < 3; times++) await look()
  await life.settle()
  await look()
  const { name, state } = await machineRow(world, machineId)
  assert.deepEqual([state, (await runRow(run)).state], ['failed', 'failed'])
  assert.match(
    (await runRow(run)).state_reason ?? '',
    /^wall time: 2 h limit reached \(at work for 2 h.*\)\. Raise it: autovibe machine limits \S+ --wall 240min$/,
  )
  assert.ok((await runRow(run)).state_reason?.includes(name))
  assert.equal((await reached()).length, 1)
  const wall = (await used('wall_seconds')).filter((each) => each.run === run).reduce((sum, { amount }) => sum + amount, 0)
  assert.ok(Math.abs(wall - 7200) < 60, String(wall))
})

test('while an operation has the machine in hand its end waits, and then comes', async () => {
  await limit({ wall_seconds: 60 })
  const run = await runAtWork()
  await pass(HOUR_MS)
  await world.database.db.transaction().execute((tx) => world.requests.stopMachine(tx, machineId))
  await look()
  assert.equal((await reached()).length, 1)
  await workOff()
  assert.equal((await machineRow(world, machineId)).state, 'stopped')
  assert.equal((await runRow(run)).state, 'paused', 'whoever stops it first keeps its run')
  await world.database.db.transaction().execute((tx) => world.requests.cancelRun(tx, run))
})

test('a host whose disk runs full loses the machine that grew most, and no other', async () => {
  const other = machineId
  await world.ports.substrate.measure(machineId, signal)
  const full: Room = { freeBytes: 1, totalBytes: 2 ** 40, freeFiles: null }
  await look(new Map(), full)
  assert.deepEqual(await reached(), [], 'nobody has grown since a look that there was not')
  let disks: Disks = new Map()
  for (let looks = 0; looks < 2_000 && (disks.get(machineId) ?? 0) === 0; looks++) disks = await look()
  assert.ok((disks.get(machineId) ?? 0) > 0)
  await look(new Map([...disks, [machineId, 1]]), full)
  await life.settle()
  const { state, state_reason } = await machineRow(world, other)
  assert.equal(state, 'failed')
  assert.match(state_reason ?? '', /^disk of the host: only 1 B are left, and this machine grew most \(.*\)\. Free some space: df -h$/)
})

test('what a machine used by its end is charged to the narrowest budget, once, also when a Hub dies between the look and the ledger', async () => {
  const run = await runAtWork()
  const { db } = world.database
  const budget = await db
    .transaction()
    .execute((tx) => world.ports.ledger.openBudget(tx, { scope: 'run', scopeId: run, parentId: null, resource: 'wall_seconds', limit: 1_000_000n }))
  assert.ok(await isMetered(db, machineId))
  await pass(HOUR_MS)
  // The ledger of a Hub that dies: what was written down before stays to be done.
  const dying = { ...world.ports, ledger: { ...world.ports.ledger, charge: () => Promise.reject(new Error('the Hub dies here')) } }
  await assert.rejects(takeMeter(dying, machineId, signal), /dies here/)
  const settled = async () => Number((await db.selectFrom('budgets').select('settled').where('id', '=', budget).executeTakeFirstOrThrow()).settled)
  assert.equal(await settled(), 0)
  for (let times = 0; times < 3; times++) await takeMeter(world.ports, machineId, signal)
  const once = await settled()
  assert.ok(Math.abs(once - 3600) < 60, String(once))
  await db.transaction().execute((tx) => world.requests.cancelRun(tx, run))
  await db.transaction().execute((tx) => enqueue(tx, world.clock, stopMachine, { machineId, reason: 'asked' }, { projectId: world.projectId, machineId }))
  await life.settle()
  const all = (await used('wall_seconds')).filter((each) => each.run === run)
  assert.equal(
    all.reduce((sum, { amount }) => sum + amount, 0),
    await settled(),
  )
  assert.deepEqual((await world.ports.ledger.audit()).findings, [])
  const meter = await db.selectFrom('machine_meters').selectAll().where('machine_id', '=', machineId).executeTakeFirstOrThrow()
  assert.deepEqual([meter.pending, meter.run_closed], [[], true])
  assert.ok(meter.cpu_total_us > 0n)
})

test('what a run used while it was at work is kept for it, without its pauses, and whether it was short of memory', async () => {
  const { db } = world.database
  await look()
  const run = await runAtWork()
  await look()
  await pass(120_000)
  await look()
  await db.transaction().execute(async (tx) => changeRun(tx, world.clock, world.ports.ledger, await runRow(run), 'pause', 'For a while.'))
  await pass(HOUR_MS)
  await look()
  const use = await db.selectFrom('run_uses').selectAll().where('run_id', '=', run).executeTakeFirstOrThrow()
  assert.deepEqual([use.project_id, use.machine_id], [world.projectId, machineId])
  assert.deepEqual(use.limits, world.ports.substrate.capabilities().defaultLimits)
  const seenMs = Object.values(use.busy_ms).reduce((sum, ms) => sum + ms, 0)
  assert.ok(seenMs >= 110_000 && seenMs < 180_000, String(seenMs))
  assert.ok(use.peak_memory_bytes > 1024n ** 2n)

  // Of a process that was ended for memory the run is known; a late word of a life that is over changes nothing.
  const usage = await world.ports.substrate.measure(machineId, signal)
  assert.ok(usage)
  const wasRefused = async () => (await db.selectFrom('run_uses').select('memory_refused').where('run_id', '=', run).executeTakeFirstOrThrow()).memory_refused
  await takeMeasured(world.ports, machineId, { ...usage, life: 'one before', refused: { memory: 1, processes: 0 } })
  assert.equal(await wasRefused(), false)
  await takeMeasured(world.ports, machineId, { ...usage, refused: { memory: 1, processes: 0 } })
  await takeMeter(world.ports, machineId, signal)
  assert.equal(await wasRefused(), true)
})
