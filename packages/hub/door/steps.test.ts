/** Steps over the real door: each that has begun is ended by somebody, and what the machine says late cannot leave one open. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type Caller, openDoorGround } from './testing.ts'

const ground = await openDoorGround()
const { database, registered } = ground
const { db, pool } = database
after(() => ground.close())

const NOTHING = { reason: null, summary: null, check_result: null, agent_reported_cost: null }
const finished = (index: number) => ({ type: 'step.finished', data: { index, model: 'm', message_id: `msg_${index}`, text: '', tools: [] } })
const started = (index: number) => ({ type: 'step.started', data: { index } })

/** A machine at work on its run. */
async function working(): Promise<Caller> {
  const one = await registered()
  await pool.query(`update machines set state = 'running', control = 'go', run_id = $2 where id = $1`, [one.id, one.runId])
  return one
}

/** Number and outcome of every step; one without an outcome has no end, and one with an outcome has. */
async function stepsOf(one: Caller): Promise<string[]> {
  const rows = await db.selectFrom('steps').selectAll().where('run_id', '=', one.runId).orderBy('index').execute()
  return rows.map(({ index, outcome }) => `${index} ${outcome}`)
}

const interruptedOf = async (one: Caller): Promise<unknown[]> =>
  (await db.selectFrom('events').select('data').where('run_id', '=', one.runId).where('type', '=', 'step.interrupted').orderBy('seq').execute()).map(
    ({ data }) => data['index'],
  )

for (const state of ['paused', 'succeeded', 'failed', 'cancelled']) {
  test(`a run that is reported as ${state} leaves no step open, and tells of each that it cuts off`, async () => {
    const one = await working()
    await one.tell(one.told(1, started(1)), one.told(2, finished(1)), one.told(3, started(2)), one.told(4, started(3)))
    assert.deepEqual(await stepsOf(one), ['1 finished', '2 null', '3 null'])
    assert.equal((await one.ask('PUT', `/runs/${one.runId}/state`, { ...NOTHING, state })).status, 200)
    assert.deepEqual(await stepsOf(one), ['1 finished', '2 interrupted', '3 interrupted'])
    assert.deepEqual(await interruptedOf(one), [2, 3])
  })
}

test('an agent that goes on after a pause takes the step up again, with the beginning that it had', async () => {
  const one = await working()
  const at = new Date(Date.now() - 60_000).toISOString()
  await one.tell(one.told(1, { ...started(1), at }))
  await one.ask('PUT', `/runs/${one.runId}/state`, { ...NOTHING, state: 'paused', reason: 'the budget is used up' })
  await pool.query(`update runs set state = 'running' where id = $1`, [one.runId])
  await one.tell(one.told(2, started(1)))
  assert.deepEqual(await stepsOf(one), ['1 null'])
  await one.tell(one.told(3, finished(1)))
  const [step] = await db.selectFrom('steps').selectAll().where('run_id', '=', one.runId).execute()
  assert.deepEqual([step?.outcome, step?.message_id, step?.started_at.toISOString()], ['finished', 'msg_1', at])
})

test('word of a step that comes after the pause opens none, and what was finished counts however late it comes', async () => {
  const one = await working()
  await one.tell(one.told(1, started(1)))
  await one.ask('PUT', `/runs/${one.runId}/state`, { ...NOTHING, state: 'paused' })
  await one.tell(one.told(2, finished(1)), one.told(3, started(2)))
  assert.deepEqual(await stepsOf(one), ['1 finished', '2 interrupted'])
  assert.deepEqual(await interruptedOf(one), [1, 2])
  await one.tell(one.told(4, started(1)), one.told(5, started(2)))
  assert.deepEqual(await stepsOf(one), ['1 finished', '2 interrupted'])
  assert.deepEqual(await interruptedOf(one), [1, 2], 'nothing is told twice')
})

test('an agent that comes anew ends what the one before it was at; one that only lost the Hub goes on with it', async () => {
  const one = await working()
  await one.tell(one.told(1, started(1)), one.told(2, finished(1)), one.told(3, started(2)))
  await one.ask('POST', '/register', { boot_id: one.bootId, agent_version: '1' })
  assert.deepEqual(await stepsOf(one), ['1 finished', '2 null'])
  await one.ask('POST', '/register', { boot_id: 'another-boot', agent_version: '1' })
  assert.deepEqual(await stepsOf(one), ['1 finished', '2 interrupted'])
  assert.deepEqual(await interruptedOf(one), [2])
})

test('a pause and word of a step at the same time leave no step open, in whatever order they are taken', async () => {
  for (let round = 0; round < 10; round++) {
    const one = await working()
    const [paused, told] = await Promise.all([
      one.ask('PUT', `/runs/${one.runId}/state`, { ...NOTHING, state: 'paused' }),
      one.tell(one.told(1, started(1)), one.told(2, started(2))),
    ])
    assert.deepEqual([paused.status, told.status], [200, 200])
    assert.deepEqual(await stepsOf(one), ['1 interrupted', '2 interrupted'])
  }
})

test('a machine that opens steps without end is ended with all of them, and told of at most a hundred', async () => {
  const one = await working()
  await one.tell(...Array.from({ length: 150 }, (_, index) => one.told(index + 1, started(index + 1))))
  await one.ask('PUT', `/runs/${one.runId}/state`, { ...NOTHING, state: 'failed' })
  assert.equal((await stepsOf(one)).filter((step) => step.endsWith('interrupted')).length, 150)
  assert.equal((await interruptedOf(one)).length, 100)
})
