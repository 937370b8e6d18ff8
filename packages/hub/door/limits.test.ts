/** What a hostile machine may cost its Hub: requests and bytes over time, rows for good, snapshots on their way. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { DOOR_LIMITS } from '@autovibe/contract'
import { testClock } from '../operations/engine/testing.ts'
import { type Caller, openDoorGround } from './testing.ts'

const clock = testClock(Date.now())
const ground = await openDoorGround(clock)
const { database, machine, registered } = ground
const { db, pool } = database
after(() => ground.close())

const LONG = 'x'.repeat(60_000)
const storedOf = async ({ runId }: Caller, type: 'run.message' | 'run.events_full'): Promise<number> =>
  (await db.selectFrom('events').select('id').where('run_id', '=', runId).where('type', '=', type).execute()).length

test('a machine that asks too often waits, the others do not, and after that long it is let in again', async () => {
  const [one, other] = [await registered(), await registered()]
  clock.advance(10_000)
  let answered = 0
  let refused = await one.ask('GET', '/instructions')
  for (; refused.status === 200 && answered < 10_000; answered++) refused = await one.ask('GET', '/instructions')
  assert.equal(answered, DOOR_LIMITS.requestsBurst)
  assert.deepEqual([refused.status, refused.body['code'], refused.body['retryable']], [429, 'request.rate_limited', true])
  const waitSeconds = Number(refused.headers['retry-after'])
  assert.ok(Number.isInteger(waitSeconds) && waitSeconds >= 1)
  assert.equal((await other.ask('GET', '/instructions')).status, 200)
  clock.advance(waitSeconds * 1000)
  assert.equal((await one.ask('GET', '/instructions')).status, 200)
})

test('long batches are let through as fast as the bytes of a second allow, and each is stored once when it is asked again', async () => {
  const one = await registered()
  const batch = (number: number) => Array.from({ length: 50 }, (_, i) => one.told(number * 50 + i + 1, { data: { text: LONG } }))
  const statuses: number[] = []
  for (let number = 0; number < 8; number++) {
    let answer = await one.tell(...batch(number))
    statuses.push(answer.status)
    for (let tries = 0; answer.status === 429 && tries < 10; tries++) {
      clock.advance(Number(answer.headers['retry-after']) * 1000)
      answer = await one.tell(...batch(number))
    }
    assert.deepEqual(answer.body, { stored_seq: (number + 1) * 50 })
  }
  assert.deepEqual(statuses.slice(0, 5), [200, 200, 200, 200, 200])
  assert.ok(statuses.slice(5).includes(429))
  assert.equal(await storedOf(one, 'run.message'), 400)
})

test('registering under ever new boots is slower than asking', async () => {
  const one = await machine()
  clock.advance(10_000)
  let registrations = 0
  const register = (path: string) => one.ask('POST', path, { boot_id: `boot-again-${registrations}`, agent_version: '1' })
  while ((await register('/register?')).status === 200 && registrations < 1000) registrations++
  // The first one was awaited, for its Hub had started it.
  assert.equal(registrations, DOOR_LIMITS.requestsBurst / DOOR_LIMITS.requestsPerSecond + 1)
  assert.equal((await register('/%72egister')).status, 429)
})

test('a machine that its Hub starts again and again registers at once each time', async () => {
  const one = await machine()
  for (let start = 0; start < DOOR_LIMITS.requestsBurst; start++) {
    await db.updateTable('machines').set({ state: 'booting' }).where('id', '=', one.id).execute()
    const { status } = await one.ask('POST', '/register', { boot_id: `boot-started-${start}`, agent_version: '1' })
    assert.equal(status, 200)
  }
})

test('only the boot that registered last may tell and be heard; another is told to register again, and then is believed', async () => {
  const one = await registered()
  const events = (bootId: string) => one.ask('POST', '/events', { boot_id: bootId, events: [one.told(1)] })
  const beat = (bootId: string) => one.ask('POST', '/heartbeat', { boot_id: bootId, quiet: false })
  for (const ask of [events, beat]) {
    const answer = await ask('invented-boot')
    assert.deepEqual([answer.status, answer.body['code'], answer.body['retryable']], [409, 'conflict.state', false])
  }
  assert.equal(await storedOf(one, 'run.message'), 0)
  assert.equal((await db.selectFrom('machine_event_streams').select('boot_id').where('machine_id', '=', one.id).execute()).length, 0)
  await one.ask('POST', '/register', { boot_id: 'invented-boot', agent_version: '1' })
  assert.deepEqual([(await events('invented-boot')).status, (await beat('invented-boot')).status, (await beat(one.bootId)).status], [200, 200, 409])
})

test('a run that has told all that is kept of one is refused more, which is recorded once', async () => {
  const one = await registered()
  const left = 100_000
  // What it told before this Hub started counts too.
  await pool.query(
    `insert into events (id, type, at, machine_id, run_id, data) values ($1, 'run.message', now(), $2, $3, jsonb_build_object('text', repeat('x', $4::int)))`,
    [clock.newId('event'), one.id, one.runId, DOOR_LIMITS.runBytes - left],
  )
  assert.equal((await one.tell(one.told(1, { data: { text: LONG } }))).status, 200)
  const refused = await one.tell(one.told(2, { data: { text: LONG } }))
  assert.deepEqual([refused.status, refused.body['code'], refused.body['retryable']], [413, 'run.events_full', false])
  assert.equal((await one.tell(one.told(3))).status, 413)
  const usage = { id: 'report-1', run_id: one.runId, usage: [{ resource: 'cpu_seconds', amount: '1', quality: 'measured', service: 'x' }] }
  assert.equal((await one.ask('POST', '/usage', usage)).body['code'], 'run.events_full')
  assert.deepEqual([await storedOf(one, 'run.message'), await storedOf(one, 'run.events_full')], [2, 1])
  assert.equal((await one.ask('POST', '/heartbeat', { boot_id: one.bootId, quiet: false })).status, 200)
})

test('usage counts against what is kept of a run', async () => {
  const one = await registered()
  await pool.query(
    `insert into events (id, type, at, machine_id, run_id, data) values ($1, 'run.message', now(), $2, $3, jsonb_build_object('text', repeat('x', $4::int)))`,
    [clock.newId('event'), one.id, one.runId, DOOR_LIMITS.runBytes - 150_000],
  )
  const line = { resource: 'cpu_seconds', amount: '1', quality: 'measured', service: 'x' }
  let reports = 0
  const report = () => one.ask('POST', '/usage', { id: `report-${++reports}`, run_id: one.runId, usage: Array.from({ length: 100 }, () => line) })
  assert.deepEqual([(await report()).status, (await report()).status, (await report()).status], [200, 413, 413])
  assert.equal((await db.selectFrom('usage_events').select('id').where('run_id', '=', one.runId).execute()).length, 100)
  assert.equal(await storedOf(one, 'run.events_full'), 1)
})

test('what the database cannot hold is refused before it gets there', async () => {
  const one = await registered()
  for (const text of ['a\0b', 'a\ud800b']) {
    assert.equal((await one.tell(one.told(1, { data: { text } }))).status, 400)
    assert.equal((await one.tell(one.told(1, { data: { [text]: 1 } }))).status, 400)
    assert.equal((await one.ask('POST', '/register', { boot_id: `boot-${text}-boot`, agent_version: '1' })).status, 400)
    const report = { state: 'paused', reason: text, summary: null, check_result: null, agent_reported_cost: null }
    assert.equal((await one.ask('PUT', `/runs/${one.runId}/state`, report)).status, 400)
  }
  const step = (index: number) => one.told(1, { type: 'step.finished', data: { index, model: 'm', message_id: null, text: '', tools: [] } })
  assert.equal((await one.tell(step(2 ** 31))).status, 400)
  assert.equal((await one.tell(step(2 ** 31 - 1))).status, 200)
  const wish = (step: number) => ({ run_id: one.runId, trigger: 'interval', step, label: null })
  assert.equal((await one.ask('POST', '/checkpoints', wish(2 ** 31))).status, 400)
})

test('what is nested too deep to be read again is refused, as the mistake that it is', async () => {
  const one = await registered()
  // As text: what reads JSON goes deeper than what writes it.
  const deep = (levels: number) => JSON.stringify(one.told(1)).replace('"word 1"', `${'['.repeat(levels)}${']'.repeat(levels)}`)
  for (const levels of [40, 2000, 5000, 100_000]) {
    const answer = await one.askText('POST', '/events', `{"boot_id":"${one.bootId}","events":[${deep(levels)}]}`)
    assert.deepEqual([answer.status, answer.body['code']], [400, 'request.invalid'], `${levels} levels`)
  }
  assert.equal((await one.askText('POST', '/events', `{"boot_id":"${one.bootId}","events":[${deep(20)}]}`)).status, 200)
})
