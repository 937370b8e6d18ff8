/** Checkpoints that an agent asks for: what it may ask, how many at once, and what is left of its waiting. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { CHECKPOINT_TRIGGERS, type CheckpointId, DOOR_LIMITS } from '@autovibe/contract'
import { wake } from '../operations/engine/wake.ts'
import { systemRuntime } from '../runtime.ts'
import { type Caller, openDoorGround } from './testing.ts'

const ground = await openDoorGround()
const { database, registered } = ground
const { db, pool } = database
after(() => ground.close())

const running = async (): Promise<Caller> => {
  const one = await registered()
  await pool.query(`update machines set state = 'running', control = 'go', run_id = $2 where id = $1`, [one.id, one.runId])
  return one
}
const wish = (one: Caller, trigger = 'interval') => ({ run_id: one.runId, trigger, step: 1, label: null })

/** A checkpoint of the machine that is already on its way. */
async function onItsWay(one: Caller, state: string): Promise<CheckpointId> {
  const id = systemRuntime.newId('checkpoint')
  await pool.query(
    `insert into checkpoints (id, project_id, machine_id, trigger, state, created_at) select $1, project_id, id, 'interval', $3, now() from machines where id = $2`,
    [id, one.id, state],
  )
  return id
}

/** Plays the engine: the machine's pending checkpoint is frozen. */
async function freeze(one: Caller): Promise<void> {
  for (let looks = 0; looks < 10_000; looks++) {
    const { rowCount } = await pool.query(`update checkpoints set state = 'capturing' where machine_id = $1 and state = 'pending'`, [one.id])
    if (rowCount) return db.transaction().execute((tx) => wake(tx, one.id))
  }
  throw new Error('no checkpoint was asked for')
}

/** Resolves when the door waits for nothing more; each look is an exchange with the door, so that it had its turn. */
async function nothingAwaited(one: Caller): Promise<void> {
  for (let looks = 0; looks < 50 && ground.waiting() > 0; looks++) await one.ask('POST', '/heartbeat', { boot_id: one.bootId, quiet: false })
  assert.equal(ground.waiting(), 0)
}

test('an agent cannot ask in the name of a person', async () => {
  const one = await running()
  for (const trigger of ['demand', 'rollback'] as const) {
    assert.ok(CHECKPOINT_TRIGGERS.includes(trigger))
    assert.equal((await one.ask('POST', '/checkpoints', wish(one, trigger))).status, 400)
  }
  assert.equal((await db.selectFrom('checkpoints').select('id').where('machine_id', '=', one.id).execute()).length, 0)
})

test('a machine with as many checkpoints on their way as it may have is told to try later, and may have another when one is verified', async () => {
  const one = await running()
  const [first] = [await onItsWay(one, 'stored'), await onItsWay(one, 'capturing'), await onItsWay(one, 'capturing')]
  const refused = await one.ask('POST', '/checkpoints', wish(one))
  assert.deepEqual([refused.status, refused.body['code'], refused.body['retryable']], [409, 'conflict.busy', true])
  await db.updateTable('checkpoints').set({ state: 'verified' }).where('id', '=', first).execute()
  const asked = one.ask('POST', '/checkpoints', wish(one))
  await freeze(one)
  assert.deepEqual([(await asked).status, (await asked).body['state']], [200, 'capturing'])
  const rows = await db.selectFrom('checkpoints').select('id').where('machine_id', '=', one.id).where('state', '!=', 'verified').execute()
  assert.equal(rows.length, DOOR_LIMITS.checkpointsOnTheirWay)
})

test('how long an agent has waited for a checkpoint is told', async () => {
  const one = await running()
  const askedAt = performance.now()
  const asked = one.ask('POST', '/checkpoints', wish(one, 'exit'))
  await freeze(one)
  await asked
  const waitedSeconds = (performance.now() - askedAt) / 1000
  const [, sum = ''] = /^autovibe_checkpoint_pause_seconds_sum\{trigger="exit"\} (\S+)$/m.exec(await ground.metrics()) ?? []
  assert.ok(Number(sum) > 0 && Number(sum) <= waitedSeconds, sum)
})

test('an answered request leaves nothing waiting behind', async () => {
  const one = await running()
  const asked = one.ask('POST', '/checkpoints', wish(one))
  await freeze(one)
  await asked
  await nothingAwaited(one)
  for (let polls = 0; polls < 20; polls++) await one.ask('GET', '/instructions?after=0&wait=25')
  await nothingAwaited(one)
})
