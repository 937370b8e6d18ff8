/** What the end of a Hub has stopped is started again by the next, as often as that makes sense; what somebody else has stopped never is. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AutovibeError, type MachineId, type RunId } from '@autovibe/contract'
import { GRACE_MS, type Suspicions } from '@autovibe/core/reconcile/plan.ts'
import { sweep } from '../scheduler/sweep.ts'
import { createLocalSubstrate } from '../substrates/local/create-local-substrate.ts'
import { startAgain } from '../take-over.ts'
import { advance } from './engine/advance.ts'
import { claimNext } from './engine/claim.ts'
import type { Registry } from './engine/define.ts'
import { enqueue, requestCancel } from './engine/enqueue.ts'
import { silentLog } from './engine/testing.ts'
import { type EngineLife, engineLife } from './faults/engine-life.ts'
import { machineRow, openWorld, type World } from './faults/world.ts'
import type { Ports } from './ports.ts'
import { registry } from './registry.ts'
import { insertRun } from './requests/rows.ts'
import { spawnMachine } from './spawn-machine.ts'
import { startMachine } from './start-machine.ts'
import { projectBudget } from './steps/budgets.ts'
import { changeMachine } from './steps/machine-state.ts'

/** More looks of the sweep than any machine has restarts. */
const SWEEPS = 6
/** A host on which no machine starts. */
const NO_START: Registry = new Map([...registry, [startMachine.kind, { ...startMachine, steps: startMachine.steps.map(refusingStart) }]])

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
  life.useRegistry(registry)
  const { db } = world.database
  await db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
  machineId = (await world.newMachine(null)).id
  const input = { machineId, projectId: world.projectId, runId: null, from: null, limitNanoUsd: '1000000000' }
  await db.transaction().execute((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
  await life.settle()
})

test('a machine that the end of a Hub has stopped is started by the next one, once', async () => {
  await stop('shutdown')
  assert.equal(await state(), 'stopped')
  assert.deepEqual(await startAgain(world.ports, silentLog), [(await machineRow(world, machineId)).name])
  assert.deepEqual(await startAgain(world.ports, silentLog), [], 'it is in hand already')
  await life.settle()
  const { state: now, restarts_left } = await machineRow(world, machineId)
  assert.deepEqual([now, restarts_left], ['ready', 0])
  assert.deepEqual(await startAgain(world.ports, silentLog), [])
})

test('a machine that a person has stopped stays stopped, also when the end of a Hub had stopped it before', async () => {
  await stop('asked')
  assert.deepEqual(await startAgain(world.ports, silentLog), [])
  await sweepOn()
  assert.equal(await state(), 'stopped')

  await world.database.db.transaction().execute((tx) => world.requests.startMachine(tx, machineId))
  await life.settle()
  await stop('shutdown')
  life.useRegistry(NO_START)
  await startAgain(world.ports, silentLog)
  await life.settle()
  assert.equal(await state(), 'failed')
  life.useRegistry(registry)
  await stop('asked')
  await sweepOn()
  assert.equal(await state(), 'stopped')
})

test('a start that fails is tried again by the sweep, but not for ever, and then a person still can', async () => {
  await stop('shutdown')
  const { restarts_left: tries } = await machineRow(world, machineId)
  const before = await starts()
  life.useRegistry(NO_START)
  await startAgain(world.ports, silentLog)
  await life.settle()
  assert.equal(await state(), 'failed')
  assert.match((await machineRow(world, machineId)).state_reason ?? '', /The Hub tries again\.$/)
  await sweepOn()
  assert.equal((await starts()) - before, tries)
  const { state_reason, restarts_left } = await machineRow(world, machineId)
  assert.deepEqual([restarts_left, state_reason], [0, 'No machine starts here.'])

  life.useRegistry(registry)
  await world.database.db.transaction().execute((tx) => world.requests.startMachine(tx, machineId))
  await life.settle()
  assert.equal(await state(), 'ready')
})

test('the sweep alone starts what start-up could not, after its grace', async () => {
  await stop('shutdown')
  await sweepOn()
  assert.equal(await state(), 'ready')
})

test('whoever cancels the start of such a machine is not overruled', async () => {
  await stop('shutdown')
  await startAgain(world.ports, silentLog)
  const { db } = world.database
  const { id } = await db.selectFrom('operations').select('id').where('machine_id', '=', machineId).where('ended_at', 'is', null).executeTakeFirstOrThrow()
  await db.transaction().execute((tx) => requestCancel(tx, world.clock, id))
  await life.settle()
  await sweepOn()
  assert.equal(await state(), 'stopped')
})

test('a machine is not started where the fence has become too weak for what nobody has accepted', async () => {
  await stop('asked')
  const { db } = world.database
  await db.updateTable('machines').set({ allow_unisolated: false }).where('id', '=', machineId).execute()
  const before = await machineRow(world, machineId)
  const { operationId } = await db.transaction().execute((tx) => world.requests.startMachine(tx, machineId))
  const dataDir = await mkdtemp(join(tmpdir(), 'avw-'))
  try {
    const door = { listen: async () => undefined, close: async () => undefined }
    const code = { agentCode: { root: fileURLToPath(new URL('../../../', import.meta.url)) }, agentsDir: join(dataDir, 'agents'), nodePath: process.execPath }
    const substrate = await createLocalSubstrate({ dataDir, ...code, door, logger: silentLog, isolation: 'I0', copy: 'C1' })
    await workOff(registry, { ...world.ports, substrate })
  } finally {
    await rm(dataDir, { recursive: true })
  }
  const { error } = await db.selectFrom('operations').select('error').where('id', '=', operationId).executeTakeFirstOrThrow()
  assert.match(JSON.stringify(error), /isolation\.too_weak/)
  const now = await machineRow(world, machineId)
  assert.deepEqual([now.state, now.isolation], ['stopped', before.isolation])
})

test('a run that the end of a Hub has interrupted goes on being one that runs, until no start is left to hope for', async () => {
  const run = await runAtWork()
  await world.database.db.transaction().execute((tx) => world.requests.stopMachine(tx, machineId, 'shutdown'))
  await workOff(registry)
  assert.deepEqual([await state(), (await runRow(run)).state, (await runRow(run)).resume], ['stopped', 'running', true])
  await world.database.db.updateTable('machines').set({ restarts_left: 1 }).where('id', '=', machineId).execute()
  await startAgain(world.ports, silentLog)
  await workOff(NO_START)
  assert.deepEqual([await state(), (await runRow(run)).state, (await runRow(run)).state_reason], ['failed', 'paused', 'No machine starts here.'])
  await endRun(run)
})

test('a run that waits already goes on waiting, and nobody starts its machine', async () => {
  const run = await runAtWork('Nothing is left of the budget.')
  await world.database.db.transaction().execute((tx) => world.requests.stopMachine(tx, machineId, 'shutdown'))
  await workOff(registry)
  assert.deepEqual(await startAgain(world.ports, silentLog), [])
  const { state: runState, state_reason } = await runRow(run)
  assert.deepEqual([await state(), runState, state_reason], ['stopped', 'paused', 'Nothing is left of the budget.'])
  await endRun(run)
})

const state = async (): Promise<string> => (await machineRow(world, machineId)).state
const runRow = (id: RunId) => world.database.db.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirstOrThrow()

async function stop(reason: 'asked' | 'shutdown'): Promise<void> {
  await world.database.db.transaction().execute((tx) => world.requests.stopMachine(tx, machineId, reason))
  await life.settle()
}

async function starts(): Promise<number> {
  const rows = await world.database.db.selectFrom('operations').select('id').where('machine_id', '=', machineId).where('kind', '=', startMachine.kind).execute()
  return rows.length
}

/** The sweep looks again and again, each time after its grace. */
async function sweepOn(): Promise<void> {
  let suspicions: Suspicions = new Map()
  for (let look = 0; look < SWEEPS; look++) {
    suspicions = (await sweep(world.ports, silentLog, suspicions)).suspicions
    await life.shift(GRACE_MS)
    suspicions = (await sweep(world.ports, silentLog, suspicions)).suspicions
    await life.settle()
  }
}

/** The rows of a run under way, of which the machine's agent is not told: it would end it at its first model call. */
function runAtWork(pausedFor: string | null = null): Promise<RunId> {
  return world.database.db.transaction().execute(async (tx) => {
    const machine = await machineRow(world, machineId)
    const id = await insertRun(world.ports, tx, { prompt: 'Say hello', agent: 'builtin', provider: 'nobody', model: 'claude-sonnet-5', machine, resume: false })
    const changed = { state: pausedFor === null ? ('running' as const) : ('paused' as const), state_reason: pausedFor, started_at: world.clock.now() }
    await tx.updateTable('runs').set(changed).where('id', '=', id).execute()
    await changeMachine(tx, world.clock, machine, 'work')
    if (pausedFor !== null) await changeMachine(tx, world.clock, { ...machine, state: 'running' }, 'pause')
    return id
  })
}

/** Advances what is due, without waiting for runs to end. */
async function workOff(operations: Registry, ports: Ports = world.ports): Promise<void> {
  const { db } = world.database
  const engine = { db, runtime: world.clock, registry: operations, ports, owner: 'restarts', log: silentLog }
  for (let claimed = await claimNext(engine); claimed; claimed = await claimNext(engine)) await advance(engine, claimed.claim, claimed.row)
}

async function endRun(id: RunId): Promise<void> {
  await world.database.db.transaction().execute((tx) => world.requests.cancelRun(tx, id))
  await life.settle()
}

function refusingStart<S extends (typeof startMachine.steps)[number]>(step: S): S {
  if (step.name !== 'start') return step
  return { ...step, do: () => Promise.reject(new AutovibeError('substrate.failed', 'No machine starts here.')) }
}
