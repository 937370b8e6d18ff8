/** Budgets of the ledger against a real PostgreSQL: closing, reopening, new limits, thresholds, and what is told. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { openTestLedger, spend, withCode } from './testing.ts'

const { database, runtime, ledger, scene, hold, eventsOf, assertBalanced } = await openTestLedger()
after(() => database.close())

describe('a budget of the ledger', () => {
  it('refuses everything below a closed budget, and still settles what was held', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    const { id } = await hold(at.run, 100n)
    await database.db.transaction().execute((tx) => ledger.closeBudget(tx, at.project))
    await database.db.transaction().execute((tx) => ledger.closeBudget(tx, at.project))
    await assert.rejects(hold(at.run, 1n), withCode('budget.exhausted'))
    await assert.rejects(hold(at.run, 0n), withCode('budget.exhausted'))
    assert.equal(await ledger.available(at.run), 0n)
    await ledger.settle(id, spend(at, 30n))
    assert.equal(await ledger.available(at.organisation), 970n)
    const below = database.db
      .transaction()
      .execute((tx) => ledger.openBudget(tx, { scope: 'run', scopeId: runtime.newId('run'), parentId: at.project, resource: 'money', limit: 1n }))
    await assert.rejects(below, withCode('conflict.state'))
    await assertBalanced(at)
  })

  it('returns the open budget of a scope as it is, and opens a new one after it was closed', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    const open = (limit: bigint) =>
      database.db.transaction().execute((tx) => ledger.openBudget(tx, { scope: 'run', scopeId: at.runId, parentId: at.project, resource: 'money', limit }))
    assert.equal(await open(5n), at.run)
    assert.equal(await ledger.available(at.run), 1_000n)
    await database.db.transaction().execute((tx) => ledger.closeBudget(tx, at.run))
    const next = await open(5n)
    assert.notEqual(next, at.run)
    assert.equal(await ledger.available(next), 5n)
  })

  it('takes a limit below what is used, blocks by it, and lets work go on when it is raised', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    const set = (limit: bigint, version: bigint) => database.db.transaction().execute((tx) => ledger.changeBudget(tx, at.run, { limit }, version))
    await ledger.settle((await hold(at.run, 500n)).id, spend(at, 500n))
    await set(100n, 1n)
    await assert.rejects(set(2_000n, 1n), withCode('request.precondition_failed'))
    await assert.rejects(hold(at.run, 1n), withCode('budget.exhausted'))
    await set(600n, 2n)
    await assert.rejects(hold(at.run, 101n), withCode('budget.insufficient'))
    await hold(at.run, 100n)
    assert.deepEqual(
      (await eventsOf(at.run, 'budget.changed')).map((data) => data['limit']),
      ['1000', '100', '600'],
    )
    await assertBalanced(at)
  })

  it('tells of each threshold once, of the highest when one charge crosses two, and of exhaustion once for each limit', async () => {
    const at = await scene({ organisation: 1_000_000n, project: 1_000n, run: 100_000n })
    const charge = async (amount: bigint) => ledger.settle((await hold(at.run, amount)).id, spend(at, amount))
    await charge(790n)
    assert.deepEqual(await eventsOf(at.project, 'budget.threshold'), [])
    await charge(10n)
    await charge(10n)
    assert.deepEqual(
      (await eventsOf(at.project, 'budget.threshold')).map((data) => data['percent']),
      [80],
    )
    await charge(150n)
    assert.deepEqual(
      (await eventsOf(at.project, 'budget.threshold')).map((data) => data['percent']),
      [80, 95],
    )
    for (let knock = 0; knock < 5; knock++) await assert.rejects(hold(at.run, 100n), withCode('budget.insufficient'))
    assert.equal((await eventsOf(at.project, 'budget.exhausted')).length, 1)
    await charge(40n)
    assert.equal((await eventsOf(at.project, 'budget.exhausted')).length, 2)
    assert.deepEqual(await eventsOf(at.run, 'budget.exhausted'), [])
  })

  it('does not call a budget exhausted while only other holds are in the way', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    await hold(at.run, 900n)
    await assert.rejects(hold(at.run, 500n), withCode('budget.insufficient'))
    assert.deepEqual(await eventsOf(at.run, 'budget.exhausted'), [])
  })

  it('posts what is reported after the fact, even above the limit, with rows that balance', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 100n })
    const answers = await Promise.all(Array.from({ length: 4 }, () => ledger.charge('the report', spend(at, 130n), at.run)))
    assert.equal(new Set([...answers, await ledger.charge('the report', spend(at, 130n), at.run)]).size, 1)
    await database.db.transaction().execute((tx) => ledger.record(tx, { ...spend(at, 9n), resource: 'wall_seconds' }, 'a report'))
    assert.equal(await ledger.available(at.run), 0n)
    assert.equal(await ledger.available(at.project), 870n)
    assert.equal((await eventsOf(at.run, 'budget.exhausted')).length, 1)
    const usage = await database.db.selectFrom('usage_events').select('resource').where('run_id', '=', at.runId).orderBy('id').execute()
    assert.deepEqual(
      usage.map((row) => row.resource),
      ['money', 'wall_seconds'],
    )
    await assertBalanced(at)
  })
})
