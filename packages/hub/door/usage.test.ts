/** What a machine reports of its consumption: counted once, and charged to whatever budget caps it. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { BudgetScope, Resource } from '@autovibe/contract'
import { createLedger } from '../ledger/create-ledger.ts'
import { systemRuntime } from '../runtime.ts'
import { type Caller, openDoorGround } from './testing.ts'

const { database, registered, close } = await openDoorGround()
const { db } = database
const ledger = createLedger({ ...database, runtime: systemRuntime })
after(() => close())

const line = (resource: string, amount: string) => ({ resource, amount, quality: 'measured', service: 'agent' })
const report = (one: Caller, id: string, ...usage: object[]) => one.ask('POST', '/usage', { id, run_id: one.runId, usage })
const recorded = async (one: Caller) =>
  (await db.selectFrom('usage_events').select(['resource', 'amount']).where('run_id', '=', one.runId).orderBy('id').execute()).map(
    ({ resource, amount }) => `${resource} ${amount}`,
  )
const told = async (one: Caller) =>
  Number((await db.selectFrom('events').select('id').where('run_id', '=', one.runId).where('type', '=', 'usage.recorded').execute()).length)
const open = (scope: BudgetScope, scopeId: string, resource: Resource, limit: bigint) =>
  db.transaction().execute((tx) => ledger.openBudget(tx, { scope, scopeId, parentId: null, resource, limit }))
const settledOf = async (id: string) =>
  (
    await db
      .selectFrom('budgets')
      .select('settled')
      .where('id', '=', id as never)
      .executeTakeFirstOrThrow()
  ).settled
const MOST = (2n ** 63n - 1n).toString()
const begunAgo = (one: Caller, seconds: number) =>
  db
    .updateTable('runs')
    .set({ started_at: new Date(systemRuntime.now().getTime() - seconds * 1000) })
    .where('id', '=', one.runId)
    .execute()
const projectOf = async (one: Caller) => (await db.selectFrom('runs').select('project_id').where('id', '=', one.runId).executeTakeFirstOrThrow()).project_id

test('a report that is sent again counts once, capped or not', async () => {
  const one = await registered()
  const budget = await open('project', await projectOf(one), 'wall_seconds', 100n)
  const send = () => report(one, 'the-report', line('wall_seconds', '7'), line('cpu_seconds', '3'), line('wall_seconds', '2'))
  for (let times = 0; times < 3; times++) assert.equal((await send()).status, 200)
  assert.equal(
    (await Promise.all([send(), send(), send()])).every(({ status }) => status === 200),
    true,
  )
  assert.deepEqual((await recorded(one)).sort(), ['cpu_seconds 3', 'wall_seconds 2', 'wall_seconds 7'])
  assert.deepEqual([await settledOf(budget), await told(one)], [9n, 3])
  await report(one, 'another-report', line('wall_seconds', '1'))
  assert.equal(await settledOf(budget), 10n)
})

test('a report that was recorded before there was a budget is not charged when it is sent again', async () => {
  const one = await registered()
  await report(one, 'the-report', line('cpu_seconds', '5'))
  const budget = await open('run', one.runId, 'cpu_seconds', 100n)
  await report(one, 'the-report', line('cpu_seconds', '5'))
  assert.deepEqual([await recorded(one), await settledOf(budget)], [['cpu_seconds 5'], 0n])
})

test('the same id of another machine is another report', async () => {
  const [one, other] = [await registered(), await registered()]
  for (const each of [one, other]) await report(each, 'the-report', line('cpu_seconds', '9'))
  assert.deepEqual([await recorded(one), await recorded(other)], [['cpu_seconds 9'], ['cpu_seconds 9']])
})

test('consumption is charged to the narrowest budget that caps it, past its limit too', async () => {
  const one = await registered()
  const [wide, narrow] = [await open('project', await projectOf(one), 'cpu_seconds', 100n), await open('machine', one.id, 'cpu_seconds', 3n)]
  await report(one, 'first-report', line('cpu_seconds', '5'))
  assert.deepEqual([await settledOf(narrow), await settledOf(wide)], [5n, 0n])
  await db.transaction().execute((tx) => ledger.closeBudget(tx, narrow))
  await report(one, 'other-report', line('cpu_seconds', '4'))
  assert.deepEqual([await settledOf(narrow), await settledOf(wide)], [5n, 4n])
})

test('what the Hub counts by itself cannot be reported: a cap of it is shared with others', async () => {
  const one = await registered()
  const budget = await open('project', await projectOf(one), 'api_calls', 100n)
  for (const resource of ['api_calls', 'storage_bytes', 'tokens']) assert.equal((await report(one, `of-${resource}`, line(resource, MOST))).status, 400)
  assert.equal(await settledOf(budget), 0n)
})

test('seconds count no further than have passed since the run began, and what was cut off is told', async () => {
  const one = await registered()
  await begunAgo(one, 60)
  const budget = await open('project', await projectOf(one), 'wall_seconds', 1_000_000n)
  assert.equal((await report(one, 'report-1', line('wall_seconds', '40'), line('wall_seconds', MOST), line('cpu_seconds', MOST))).status, 200)
  const settled = await settledOf(budget)
  assert.ok(settled >= 60n && settled < 1000n, `${settled}`)
  const cpu = BigInt((await recorded(one)).find((text) => text.startsWith('cpu_seconds'))?.split(' ')[1] ?? 0)
  assert.ok(cpu >= 240n && cpu < 4000n, `${cpu}`)
  const details = (await db.selectFrom('usage_events').select('detail').where('run_id', '=', one.runId).orderBy('amount').execute()).map(({ detail }) => detail)
  assert.deepEqual(
    details.filter((detail) => JSON.stringify(detail).includes('reported_amount')),
    Array.from({ length: 2 }, () => ({ service: 'agent', reported_amount: MOST })),
  )
})

test('many reports together count no further either, one after the other or at once', async () => {
  const one = await registered()
  await begunAgo(one, 60)
  await db.updateTable('runs').set({ ended_at: systemRuntime.now() }).where('id', '=', one.runId).execute()
  const budget = await open('project', await projectOf(one), 'wall_seconds', 1_000_000n)
  const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => report(one, `report-${index}`, line('wall_seconds', '30'))))
  const last = await report(one, 'the-last', line('wall_seconds', '30'))
  assert.deepEqual([last.status, last.body['code']], [400, 'request.invalid'])
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, 400, 400, 400, 400, 400])
  const settled = await settledOf(budget)
  assert.ok(settled >= 60n && settled <= 90n, `${settled}`)
})

test('a run that has not begun has used nothing to speak of', async () => {
  const one = await registered()
  await db.updateTable('runs').set({ started_at: null }).where('id', '=', one.runId).execute()
  await report(one, 'report-1', line('wall_seconds', MOST))
  assert.deepEqual(await recorded(one), ['wall_seconds 5'])
})

test('an amount that no balance can hold is refused, and so is an id that is none', async () => {
  const one = await registered()
  assert.equal((await report(one, 'report-1', line('wall_seconds', (2n ** 63n).toString()))).status, 400)
  assert.equal((await report(one, 'x', line('wall_seconds', '1'))).status, 400)
  assert.deepEqual(await recorded(one), [])
})

test('where the Hub measures a machine by itself, the word of the machine for the same counts nothing', async () => {
  const one = await registered()
  await db
    .insertInto('machine_meters')
    .values({
      machine_id: one.id,
      life: 'first',
      ...{
        cpu_taken_us: 0n,
        cpu_owed_us: 0n,
        cpu_total_us: 0n,
        wall_charged_seconds: 0n,
        disk_charged_bytes: 0n,
        disk_bytes: null,
        peak_memory_bytes: 1n,
        round: 0n,
      },
      ...{ run_id: null, run_closed: true, quality: 'measured', charged_at: systemRuntime.now() },
    })
    .execute()
  const budget = await open('run', one.runId, 'wall_seconds', 100n)
  assert.equal((await report(one, 'the-report', line('wall_seconds', '7'), line('cpu_seconds', '3'))).status, 200)
  assert.deepEqual([await recorded(one), await settledOf(budget)], [[], 0n])
})

test('what was reported and charged stands up to the audit', async () => {
  assert.deepEqual((await ledger.audit()).findings, [])
})
