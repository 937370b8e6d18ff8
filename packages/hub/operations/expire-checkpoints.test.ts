/** Retention on a real machine: what expires is gone everywhere, and whoever begins to use a checkpoint at the same moment either has it or hears that it is gone. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { AutovibeError, type CheckpointId, type MachineId, type RetentionRules } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import { applyRetention } from '../scheduler/retention.ts'
import { enqueue } from './engine/enqueue.ts'
import { silentLog } from './engine/testing.ts'
import { expireCheckpoints } from './expire-checkpoints.ts'
import { assertAtRest } from './faults/at-rest.ts'
import { type EngineLife, engineLife } from './faults/engine-life.ts'
import { openWorld, type World } from './faults/world.ts'
import { registry } from './registry.ts'
import { spawnMachine } from './spawn-machine.ts'
import { projectBudget } from './steps/budgets.ts'

const STRICT: RetentionRules = { keep_last: 1, hourly: 0, daily: 0, weekly: 0 }

let world: World
let life: EngineLife
let machineId: MachineId
/** Where every line begins. */
let root: CheckpointId

before(async () => {
  world = await openWorld()
  life = engineLife(world, registry)
  await inTransaction((tx) => projectBudget(world.ports, tx, world.projectId))
  machineId = (await world.newMachine(null)).id
  const input = { machineId, projectId: world.projectId, runId: null, from: null, limitNanoUsd: '1000000000' }
  await inTransaction((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
  await life.settle()
  root = await take()
})
after(async () => {
  await life.close()
  await world.close()
})

const inTransaction = <T>(work: (tx: Tx) => Promise<T>): Promise<T> => world.database.db.transaction().execute(work)

async function take(): Promise<CheckpointId> {
  const { checkpointId } = await inTransaction((tx) => world.requests.createCheckpoint(tx, machineId, 'by hand'))
  await life.settle()
  const { state, state_reason } = await row(checkpointId)
  assert.equal(state, 'verified', state_reason ?? '')
  return checkpointId
}

const row = (id: CheckpointId) => world.database.db.selectFrom('checkpoints').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
const askToExpire = (ids: CheckpointId[]) =>
  inTransaction((tx) =>
    enqueue(
      tx,
      world.clock,
      expireCheckpoints,
      { projectId: world.projectId, checkpointIds: ids, rules: STRICT },
      { projectId: world.projectId, machineId: null },
    ),
  )
const expire = async (...ids: CheckpointId[]): Promise<string[]> => {
  await askToExpire(ids)
  await life.settle()
  return Promise.all(ids.map(async (id) => (await row(id)).state))
}
const fork = (id: CheckpointId) => inTransaction((tx) => world.requests.forkCheckpoint(tx, id, { budget: 1000n }))
const gone = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'checkpoint.gone' && error.fix !== undefined

test('what no rule keeps is gone from the substrate and the store, its reason is told, and its child goes on', async () => {
  const [old, head] = [await take(), await take()]
  assert.deepEqual(await expire(root, old, head), ['verified', 'expired', 'verified'])
  const { manifest_sha256, snapshot, state_reason } = await row(old)
  assert.equal(snapshot, null)
  assert.match(state_reason ?? '', /^no rule keeps it: of each machine the last 1$/)
  const events = await world.database.db.selectFrom('events').select(['type', 'data']).where('checkpoint_id', '=', old).orderBy('seq').execute()
  assert.equal(events.find(({ type }) => type === 'checkpoint.expired')?.data['reason'], state_reason)
  assert.equal(events.findLast(({ type }) => type === 'checkpoint.state_changed')?.data['state'], 'expired')
  // Its name is no longer kept: nothing may build on it.
  const parent = { checkpointId: old, manifestSha256: manifest_sha256 ?? '' }
  const onIt = world.ports.store
    .of(world.projectId)
    .capture({ checkpointId: world.clock.newId('checkpoint'), parent, changes: nothing() }, AbortSignal.timeout(10_000))
  await assert.rejects(onIt, { code: 'checkpoint.corrupt' })
  assert.equal((await row(await take())).state, 'verified')
  assert.deepEqual(await expire(old), ['expired'], 'a second time changes nothing')
  await assertAtRest(world, new Set())
})

test('an expired checkpoint is neither forked nor gone back to, and the refusal says what to do', async () => {
  const [old] = [await take(), await take()]
  await expire(old)
  await assert.rejects(fork(old), gone)
  await assert.rejects(
    inTransaction((tx) => world.requests.rollbackMachine(tx, machineId, old)),
    gone,
  )
})

test('a checkpoint that came to be needed after it was named stays', async () => {
  const [pinned, forked, target] = [await take(), await take(), await take()]
  await take()
  await inTransaction((tx) => tx.updateTable('checkpoints').set({ pinned: true }).where('id', '=', pinned).execute())
  const { machineId: forkId } = await fork(forked)
  await inTransaction((tx) => world.requests.rollbackMachine(tx, machineId, target))
  assert.deepEqual(await expire(pinned, forked, target), ['verified', 'verified', 'verified'])
  const { state } = await world.database.db.selectFrom('machines').select('state').where('id', '=', forkId).executeTakeFirstOrThrow()
  assert.equal(state, 'ready')
  await assertAtRest(world, new Set())
})

test('a fork that is being asked for keeps its checkpoint', async () => {
  const [old] = [await take(), await take()]
  const begun = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const forking = inTransaction(async (tx) => {
    await world.requests.forkCheckpoint(tx, old, { budget: 1000n })
    begun.resolve()
    await goOn.promise
  })
  await begun.promise
  await expire(old)
  goOn.resolve()
  await forking
  await life.settle()
  assert.equal((await row(old)).state, 'verified')
  await assertAtRest(world, new Set())
})

test('a fork that comes while its checkpoint is being expired waits, and then is refused', async () => {
  const [old] = [await take(), await take()]
  const locked = Promise.withResolvers<void>()
  const expiring = inTransaction(async (tx) => {
    await tx.selectFrom('checkpoints').select('id').where('id', '=', old).forUpdate().execute()
    locked.resolve()
    await someoneWaits()
    await tx.updateTable('checkpoints').set({ state: 'expired', snapshot: null }).where('id', '=', old).execute()
  })
  await locked.promise
  await assert.rejects(fork(old), gone)
  await expiring
})

test('the hourly look follows the rules of the project, once', async () => {
  const old = await take()
  const started = async () => (await world.database.db.selectFrom('operations').select('id').where('kind', '=', expireCheckpoints.kind).execute()).length
  const before = await started()
  await take()
  await applyRetention(world.ports, silentLog)
  assert.equal(await started(), before, 'by default all of them stay')
  await inTransaction((tx) =>
    tx
      .updateTable('projects')
      .set({ retention: JSON.stringify(STRICT) })
      .where('id', '=', world.projectId)
      .execute(),
  )
  await applyRetention(world.ports, silentLog)
  await applyRetention(world.ports, silentLog)
  assert.equal(await started(), before + 1)
  await life.settle()
  assert.equal((await row(old)).state, 'expired')
  await applyRetention(world.ports, silentLog)
  assert.equal(await started(), before + 1)
})

async function* nothing(): AsyncGenerator<never> {}

/** Resolves when a connection waits for a lock of another; each look is a round trip to the database. */
async function someoneWaits(): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    const { rows } = await world.database.pool.query(`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
    if (rows.length > 0) return
  }
  throw new Error('nobody waited')
}
