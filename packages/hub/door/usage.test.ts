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
  for (const each of [one, other]) await report(each, 'the-report', line('storage_bytes', '9'))
  assert.deepEqual([await recorded(one), await recorded(other)], [['storage_bytes 9'], ['storage_bytes 9']])
})

test('consumption is charged to the narrowest budget that caps it, past its limit too', async () => {
  const one = await registered()
  const [wide, narrow] = [await open('project', await projectOf(one), 'api_calls', 100n), await open('machine', one.id, 'api_calls', 3n)]
  await report(one, 'first-report', line('api_calls', '5'))
  assert.deepEqual([await settledOf(narrow), await settledOf(wide)], [5n, 0n])
  await db.transaction().execute((tx) => ledger.closeBudget(tx, narrow))
  await report(one, 'other-report', line('api_calls', '4'))
  assert.deepEqual([await settledOf(narrow), await settledOf(wide)], [5n, 4n])
})

test('an amount that no balance can hold is refused, and so is an id that is none', async () => {
  const one = await registered()
  const budget = await open('run', one.runId, 'wall_seconds', 100n)
  const most = (2n ** 63n - 1n).toString()
  assert.equal((await report(one, 'report-1', line('wall_seconds', most))).status, 200)
  assert.equal((await report(one, 'report-2', line('wall_seconds', most))).status, 400)
  assert.equal((await report(one, 'x', line('wall_seconds', '1'))).status, 400)
  assert.equal(await settledOf(budget), 2n ** 63n - 1n)
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
  assert.equal((await report(one, 'the-report', line('wall_seconds', '7'), line('cpu_seconds', '3'), line('api_calls', '2'))).status, 200)
  assert.deepEqual([await recorded(one), await settledOf(budget)], [['api_calls 2'], 0n])
})

test('what was reported and charged stands up to the audit', async () => {
  assert.deepEqual((await ledger.audit()).findings, [])
})
