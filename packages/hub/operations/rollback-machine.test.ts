/** A rollback ends whether or not it can be told what it has left: on a real PostgreSQL, a real substrate and a real agent. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { CheckpointId, MachineId, OperationId } from '@autovibe/contract'
import { enqueue } from './engine/enqueue.ts'
import { type EngineLife, engineLife } from './faults/engine-life.ts'
import { machineRow, openWorld, type World } from './faults/world.ts'
import { registry } from './registry.ts'
import { spawnMachine } from './spawn-machine.ts'
import { projectBudget } from './steps/budgets.ts'
import { tellEffects } from './steps/effects-told.ts'

let world: World
let life: EngineLife
let machineId: MachineId
let checkpointId: CheckpointId

before(async () => {
  world = await openWorld()
  life = engineLife(world, registry)
  const { db } = world.database
  await db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
  machineId = (await world.newMachine(null)).id
  const input = { machineId, projectId: world.projectId, runId: null, from: null, limitNanoUsd: '1000000000' }
  await db.transaction().execute((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
  await life.settle()
  checkpointId = (await db.transaction().execute((tx) => world.requests.createCheckpoint(tx, machineId, 'the start'))).checkpointId
  await life.settle()
})
after(async () => {
  await life.close()
  await world.close()
})

async function rollBack(): Promise<OperationId> {
  const { operationId } = await world.database.db.transaction().execute((tx) => world.requests.rollbackMachine(tx, machineId, checkpointId))
  await life.settle()
  return operationId
}

/** The end of the operation: its state, its output, and what the event says beyond whom and where. */
async function ended(id: OperationId) {
  const { db } = world.database
  const { state, outputs, error } = await db.selectFrom('operations').select(['state', 'outputs', 'error']).where('id', '=', id).executeTakeFirstOrThrow()
  const { data } = await db
    .selectFrom('events')
    .select('data')
    .where('operation_id', '=', id)
    .where('type', '=', 'machine.rolled_back')
    .executeTakeFirstOrThrow()
  const { name: _, saved: __, ...told } = data
  return { state, error, output: outputs['ready'], told }
}

test('a rollback tells what it has left in its output and its event', async () => {
  const { state, output, told } = await ended(await rollBack())
  assert.equal(state, 'done')
  assert.deepEqual(told, output)
  assert.deepEqual(Object.keys(told), ['effects'])
})

test('a rollback whose effects cannot be read ends all the same, and says that they could not be told and why', async () => {
  const { db, pool } = world.database
  // A figure of which nobody can make a sum, as a row that was damaged.
  const id = world.clock.newId('event')
  await pool.query(
    `insert into events (id, type, at, project_id, machine_id, data) values ($1, 'egress.allowed', $2, $3, $4, '{"destination":"a:1","suppressed_before":"many"}')`,
    [id, world.clock.now(), world.projectId, machineId],
  )
  const { state, error, output, told } = await ended(await rollBack())
  assert.deepEqual([state, error], ['done', null])
  assert.deepEqual(told, { effects: null, effects_error: { code: 'hub.database', message: 'The database answered 22P02.' } })
  assert.deepEqual(output, told)
  const { state: machineState, head_checkpoint_id } = await machineRow(world, machineId)
  assert.deepEqual([machineState, head_checkpoint_id], ['ready', checkpointId])
  await db.deleteFrom('events').where('id', '=', id).execute()
})

test('effects that nobody can read for long are not waited for', async () => {
  const { db, pool } = world.database
  const holder = await pool.connect()
  try {
    await holder.query('begin; lock table usage_events in access exclusive mode')
    assert.deepEqual(await tellEffects(db, { machineId, head: null, to: checkpointId }, 50), {
      effects: null,
      effects_error: { code: 'operation.deadline', message: 'It took too long to read them.' },
    })
  } finally {
    await holder.query('rollback')
    holder.release()
  }
  assert.ok((await tellEffects(db, { machineId, head: null, to: checkpointId })).effects)
})

test('a rollback that was begun before there was a step for it ends as one that could not tell', async () => {
  const { operationId } = await world.database.db.transaction().execute((tx) => world.requests.rollbackMachine(tx, machineId, checkpointId))
  await world.database.pool.query(`update operations set steps = array_remove(steps, 'effects') where id = $1`, [operationId])
  await life.settle()
  const { state, told } = await ended(operationId)
  assert.equal(state, 'done')
  assert.deepEqual([told['effects'], Object.keys(told)], [null, ['effects', 'effects_error']])
})
