/** A limit that is raised while an agent tells of the refusal: the run must not wait for a raise that has been. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { recordEvent } from '../database/events.ts'
import { systemRuntime } from '../runtime.ts'
import { type Caller, openDoorGround } from './testing.ts'

const ground = await openDoorGround()
const { database, registered } = ground
const { db, pool } = database
after(() => ground.close())

const REASON = 'Only $0.01 is left of the budget.'

/** A machine at work on a run with this limit, of which so much is spent. */
async function working(limit: number, settled = 0): Promise<Caller> {
  const one = await registered()
  const budget = systemRuntime.newId('budget')
  await pool.query(
    `insert into budgets (id, parent_id, scope, scope_id, resource, "limit", settled, created_at) values ($1, null, 'run', $2, 'money', $3, $4, now())`,
    [budget, one.runId, limit, settled],
  )
  await pool.query('update runs set budget_id = $2 where id = $1', [one.runId, budget])
  await pool.query(`update machines set state = 'running', control = 'go', run_id = $2 where id = $1`, [one.id, one.runId])
  return one
}

const happened = (one: Caller, type: 'gateway.call_refused' | 'budget.changed', secondsAgo: number, data: Record<string, string> = {}) =>
  db
    .transaction()
    .execute((tx) => recordEvent(tx, systemRuntime, { type, at: new Date(Date.now() - secondsAgo * 1000), machine_id: one.id, run_id: one.runId, data }))

async function pause(one: Caller, reason: string = REASON): Promise<string> {
  const report = { state: 'paused', reason, summary: null, check_result: null, agent_reported_cost: null }
  assert.equal((await one.ask('PUT', `/runs/${one.runId}/state`, report)).status, 200)
  return (await db.selectFrom('runs').select('state').where('id', '=', one.runId).executeTakeFirstOrThrow()).state
}

const RAISED = { change: 'limit', previous_limit: '5', limit: '100' }

test('a pause that tells of a refusal from before the raise is not taken, so that the agent asks again', async () => {
  const one = await working(100)
  await happened(one, 'gateway.call_refused', 30)
  await happened(one, 'budget.changed', 10, RAISED)
  assert.equal(await pause(one), 'running')
})

test('a pause is taken when the refusal came after the raise, when the limit was lowered, and when there was no refusal', async () => {
  const after = await working(100)
  await happened(after, 'budget.changed', 30, RAISED)
  await happened(after, 'gateway.call_refused', 10)
  assert.equal(await pause(after), 'paused')

  const lowered = await working(100)
  await happened(lowered, 'gateway.call_refused', 30)
  await happened(lowered, 'budget.changed', 10, { ...RAISED, previous_limit: '200' })
  assert.equal(await pause(lowered), 'paused')

  const never = await working(100)
  await happened(never, 'budget.changed', 10, RAISED)
  assert.equal(await pause(never), 'paused')
})

test('a pause is taken when nothing is left all the same, and when it is not for money', async () => {
  const empty = await working(100, 100)
  const parked = await working(100)
  for (const one of [empty, parked]) {
    await happened(one, 'gateway.call_refused', 30)
    await happened(one, 'budget.changed', 10, RAISED)
  }
  assert.equal(await pause(empty), 'paused')
  assert.equal(await pause(parked, 'parked'), 'paused')
})
