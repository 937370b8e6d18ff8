/** The machine door over real unix sockets: who is let in, what is believed, what is stored once. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { DOOR_LIMITS, type Instructions } from '@autovibe/contract'
import { lockMachine, setControl } from '../operations/steps/machine-state.ts'
import { type Caller, openDoorGround } from './testing.ts'

const ground = await openDoorGround()
const { database, machine, registered } = ground
const { db } = database
after(() => ground.close())

const messages = async (caller: Caller): Promise<unknown[]> =>
  (await db.selectFrom('events').select('data').where('run_id', '=', caller.runId).where('type', '=', 'run.message').orderBy('seq').execute()).map(
    ({ data }) => data['text'],
  )

test('a machine is let in with its own token on its own socket, and with nothing else', async () => {
  const [one, other] = [await machine(), await machine()]
  const register = { boot_id: 'boot-0001', agent_version: '1' }
  assert.equal((await one.ask('POST', '/register', register, `avm_${other.id}`)).status, 401)
  assert.equal((await one.ask('POST', '/register', register, '')).status, 401)
  assert.equal((await one.ask('POST', '/register', register)).status, 200)
  assert.equal((await db.selectFrom('machines').select('state').where('id', '=', one.id).executeTakeFirstOrThrow()).state, 'ready')
  await db.updateTable('machines').set({ token_hash: null }).where('id', '=', one.id).execute()
  assert.equal((await one.ask('POST', '/register', register)).status, 401)
})

test('a batch that comes twice is stored once, and what is new in it is stored', async () => {
  const one = await registered()
  const tell = async (...seqs: number[]) => (await one.tell(...seqs.map((seq) => one.told(seq)))).body
  assert.deepEqual(await tell(1, 2), { stored_seq: 2 })
  assert.deepEqual(await tell(1, 2), { stored_seq: 2 })
  assert.deepEqual(await tell(2, 3), { stored_seq: 3 })
  assert.deepEqual(await messages(one), ['word 1', 'word 2', 'word 3'])
  await one.ask('POST', '/register', { boot_id: 'another-boot', agent_version: '1' })
  await one.ask('POST', '/events', { boot_id: 'another-boot', events: [one.told(1)] })
  assert.equal((await messages(one)).length, 4)
})

test('a step has a row from its first word on, and keeps its own beginning', async () => {
  const one = await registered()
  const begin = Date.now() - 60_000
  const at = (seconds: number) => new Date(begin + seconds * 1000).toISOString()
  const steps = () => db.selectFrom('steps').selectAll().where('run_id', '=', one.runId).execute()
  await one.tell(one.told(1, { type: 'step.started', at: at(1), data: { index: 1 } }))
  const [begun] = await steps()
  assert.equal(begun?.ended_at, null)
  await one.tell(one.told(2, { type: 'step.finished', at: at(5), data: { index: 1, model: 'm', message_id: 'msg_1', text: 'done', tools: [] } }))
  const [ended] = await steps()
  assert.deepEqual([ended?.text, ended?.started_at, Number(ended?.ended_at) - Number(ended?.started_at)], ['done', begun?.started_at, 4000])
})

test('a machine cannot speak of another run, of other types, or at length', async () => {
  const [one, other] = [await registered(), await registered()]
  const send = (event: object) => one.tell(event)
  assert.equal((await send(other.told(1))).status, 403)
  assert.equal((await send(one.told(1, { type: 'budget.changed' }))).status, 400)
  assert.equal((await send(one.told(1, { data: { text: 'x'.repeat(DOOR_LIMITS.eventBytes + 1) } }))).status, 413)
  assert.equal((await send(one.told(1, { type: 'step.finished', data: { index: 0 } }))).status, 400)
  assert.equal((await send(one.told(1, { data: { text: 'x'.repeat(DOOR_LIMITS.bodyBytes) } }))).status, 413)
  assert.equal(
    (await one.ask('PUT', `/runs/${other.runId}/state`, { state: 'succeeded', reason: null, summary: null, check_result: null, agent_reported_cost: null }))
      .status,
    403,
  )
  assert.equal(
    (
      await one.ask('POST', '/usage', {
        id: 'report-1',
        run_id: other.runId,
        usage: [{ resource: 'cpu_seconds', amount: '1', quality: 'measured', service: 'x' }],
      })
    ).status,
    403,
  )
  assert.equal((await one.ask('GET', '/nowhere')).status, 404)
  assert.deepEqual([await messages(one), await messages(other)], [[], []])
})

test('a time that a machine cannot know is taken as now', async () => {
  const one = await registered()
  const before = Date.now()
  await one.tell(one.told(1, { at: '2999-01-01T00:00:00.000Z' }), one.told(2, { at: '1999-01-01T00:00:00.000Z' }))
  const rows = await db.selectFrom('events').select('at').where('run_id', '=', one.runId).execute()
  assert.ok(rows.length === 2 && rows.every(({ at }) => at.getTime() >= before - 1000 && at.getTime() <= Date.now()))
})

test('a waiting machine hears of a change at once, with the whole wish', async () => {
  const one = await machine()
  const first = await one.ask<Instructions>('GET', '/instructions')
  assert.equal(first.body.control, 'idle')
  const waiting = one.ask<Instructions>('GET', `/instructions?after=${first.body.revision}&wait=20`)
  await db.transaction().execute(async (tx) => setControl(tx, await lockMachine(tx, one.id), 'go', { run_id: one.runId }))
  const heard = await waiting
  assert.equal(heard.body.control, 'go')
  assert.equal(heard.body.run?.id, one.runId)
  assert.equal(heard.body.run?.prompt, 'do it')
})

test('the end of a run closes it once, and a late report changes nothing', async () => {
  const one = await registered()
  await database.pool.query(`update machines set state = 'running', control = 'go' where id = $1`, [one.id])
  const report = (state: string) => ({ state, reason: null, summary: `it ${state}`, check_result: null, agent_reported_cost: '42' })
  const ended = await one.ask<Instructions>('PUT', `/runs/${one.runId}/state`, report('succeeded'))
  assert.deepEqual([ended.body.control, ended.body.run], ['idle', null])
  await one.ask('PUT', `/runs/${one.runId}/state`, report('failed'))
  const run = await db.selectFrom('runs').selectAll().where('id', '=', one.runId).executeTakeFirstOrThrow()
  assert.deepEqual([run.state, run.summary, run.agent_reported_cost], ['succeeded', 'it succeeded', 42n])
  assert.equal((await db.selectFrom('machines').select('state').where('id', '=', one.id).executeTakeFirstOrThrow()).state, 'ready')
})

test('quiet is believed only while it was asked for', async () => {
  const one = await registered()
  const quiet = async () => (await db.selectFrom('machines').select('quiet_revision').where('id', '=', one.id).executeTakeFirstOrThrow()).quiet_revision
  await one.ask('POST', '/heartbeat', { boot_id: one.bootId, quiet: true })
  assert.equal(await quiet(), null)
  const revision = await db.transaction().execute(async (tx) => setControl(tx, await lockMachine(tx, one.id), 'quiesce'))
  await one.ask('POST', '/heartbeat', { boot_id: one.bootId, quiet: true })
  assert.equal(await quiet(), revision)
})

test('a report that loses a deadlock is taken all the same', async () => {
  const one = await registered()
  await database.pool.query(`update machines set state = 'running', control = 'go' where id = $1`, [one.id])
  const rival = await database.pool.connect()
  try {
    await rival.query('begin')
    // So that it is never the rival who gives way.
    await rival.query(`set local deadlock_timeout = '30s'`)
    await rival.query('select 1 from runs where id = $1 for update', [one.runId])
    const report = { state: 'succeeded', reason: null, summary: null, check_result: null, agent_reported_cost: null }
    const answer = one.ask('PUT', `/runs/${one.runId}/state`, report)
    await lockAwaited()
    await rival.query('select 1 from machines where id = $1 for update', [one.id])
    await rival.query('commit')
    assert.equal((await answer).status, 200)
    assert.equal((await db.selectFrom('runs').select('state').where('id', '=', one.runId).executeTakeFirstOrThrow()).state, 'succeeded')
  } finally {
    rival.release(true)
  }
})

/** Resolves when somebody waits for a lock in this database. */
async function lockAwaited(): Promise<void> {
  for (let looks = 0; looks < 10_000; looks++) {
    const { rowCount } = await database.pool.query(`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
    if (rowCount) return
  }
  throw new Error('nobody waits for a lock')
}
