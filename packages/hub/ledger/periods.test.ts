/** Caps for a period against a real PostgreSQL: how they come into a chain, and how each period begins anew. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import type { BudgetId } from '@autovibe/contract'
import { createLedger } from './create-ledger.ts'
import { MINUTE_MS, openTestLedger, spend, withCode } from './testing.ts'

const { database, runtime, ledger, scene, hold, balances, eventsOf, assertBalanced, openCap, change, advance } = await openTestLedger()
after(() => database.close())

const DAY_MS = 24 * 60 * MINUTE_MS
const wide = { organisation: 1_000_000n, project: 1_000_000n, run: 1_000_000n }
const rowOf = (id: BudgetId) => database.db.selectFrom('budgets').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
const toMidnight = () => advance(DAY_MS - (runtime.now().getTime() % DAY_MS))

describe('a cap for a period', () => {
  it('comes into the chain of everything beneath, at once and with nothing settled', async () => {
    const at = await scene(wide)
    // The writer remembers the chain without the cap, and a hold that is older than it.
    const old = await hold(at.run, 300n)
    await ledger.settle((await hold(at.run, 100n)).id, spend(at, 100n))
    const daily = await openCap(at.project, { period: 'daily', limit: 500n })
    await assert.rejects(hold(at.run, 501n), withCode('budget.insufficient'))
    await hold(at.run, 400n)
    await ledger.settle(old.id, spend(at, 300n))
    assert.deepEqual(
      (await balances([daily])).map(({ settled, reserved }) => [settled, reserved]),
      [[0n, 400n]],
    )
    await assertBalanced(at, daily)
  })

  it('stands besides those of other periods, and all of them count', async () => {
    const at = await scene(wide)
    const caps: BudgetId[] = []
    for (const [period, limit] of [
      ['monthly', 900n],
      ['daily', 300n],
      ['weekly', 500n],
    ] as const) {
      caps.push(await openCap(at.project, { period, limit }))
    }
    const whole = await openCap(at.organisation, { period: 'daily', limit: 100n })
    assert.equal(await ledger.available(at.run), 100n)
    await ledger.settle((await hold(at.run, 100n)).id, spend(at, 60n))
    for (const { settled } of await balances([...caps, whole, at.project, at.organisation])) assert.equal(settled, 60n)
    await assert.rejects(openCap(at.project, { period: 'daily', limit: 1n }), withCode('conflict.name_taken'))
    await assert.rejects(openCap(whole, { period: 'weekly', limit: 1n }), withCode('conflict.state'))
    await assertBalanced(at, ...caps, whole)
  })

  it('is opened while calls are under way, and no chain is decided without it from then on', async () => {
    const at = await scene(wide)
    let isOpen = false
    let seen = 0
    const work = async () => {
      for (let calls = 0; calls < 8; calls++) {
        const wasOpen = isOpen
        const { id } = await hold(at.run, 1n)
        await ledger.settle(id, spend(at, 1n))
        const held = await database.db.selectFrom('reservations').select('budget_ids').where('id', '=', id).executeTakeFirstOrThrow()
        if (wasOpen) assert.equal(held.budget_ids.length, 4)
        if (wasOpen) seen++
      }
    }
    const working = Array.from({ length: 16 }, work)
    const daily = await openCap(at.project, { period: 'daily', limit: 500n })
    isOpen = true
    await Promise.all(working)
    assert.ok(seen > 0)
    const more = await Promise.allSettled(Array.from({ length: 100 }, () => hold(at.run, 10n)))
    const [cap] = await balances([daily])
    assert.ok(cap && cap.settled + cap.reserved <= 500n && cap.settled + cap.reserved > 490n)
    assert.ok(more.some(({ status }) => status === 'rejected'))
    await assertBalanced(at, daily)
  })
})

describe('the end of a period', () => {
  it('takes away what was settled and keeps what is reserved, with an entry and an event', async () => {
    const at = await scene(wide)
    const daily = await openCap(at.project, { period: 'daily', limit: 500n })
    await ledger.settle((await hold(at.run, 100n)).id, spend(at, 100n))
    const open = await hold(at.run, 150n, undefined, 10 * DAY_MS)
    toMidnight()
    await Promise.all([ledger.rollOver(100), ledger.rollOver(100)])
    assert.deepEqual([(await rowOf(daily)).settled, (await rowOf(daily)).reserved, (await rowOf(at.project)).settled], [0n, 150n, 100n])
    const entries = await database.db
      .selectFrom('ledger_entries')
      .select(['settled_delta', 'reserved_delta', 'reservation_id'])
      .where('budget_id', '=', daily)
      .execute()
    assert.deepEqual(entries, [{ settled_delta: -100n, reserved_delta: 0n, reservation_id: null }])
    const told = (await eventsOf(daily, 'budget.changed')).filter((data) => data['change'] === 'rollover')
    assert.deepEqual(
      told.map((data) => [data['settled'], data['ended_at'], data['period_ends_at']]),
      [['100', runtime.now().toISOString(), new Date(runtime.now().getTime() + DAY_MS).toISOString()]],
    )
    await ledger.settle(open.id, spend(at, 120n))
    assert.equal((await rowOf(daily)).settled, 120n)
    await assertBalanced(at, daily)
  })

  it('counts for whoever asks first, before the scheduler has come', async () => {
    const at = await scene(wide)
    const daily = await openCap(at.project, { period: 'daily', limit: 500n })
    await ledger.settle((await hold(at.run, 500n)).id, spend(at, 500n))
    await assert.rejects(hold(at.run, 1n), withCode('budget.exhausted'))
    advance(DAY_MS - 1 - (runtime.now().getTime() % DAY_MS))
    await assert.rejects(hold(at.run, 1n), withCode('budget.exhausted'))
    advance(1)
    const outcomes = await Promise.allSettled(Array.from({ length: 60 }, () => hold(at.run, 10n)))
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 50)
    await ledger.rollOver(100)
    assert.deepEqual(
      (await balances([daily])).map(({ settled, reserved }) => [settled, reserved]),
      [[0n, 500n]],
    )
    await assertBalanced(at, daily)
  })

  it('is one end, however many periods nobody was there', async () => {
    const at = await scene(wide)
    const ids = [
      await openCap(at.project, { period: 'daily', limit: 9n }),
      await openCap(at.project, { period: 'weekly', limit: 9n }),
      await openCap(at.project, { period: 'monthly', limit: 9n }),
    ]
    await ledger.settle((await hold(at.run, 5n)).id, spend(at, 5n))
    advance(100 * DAY_MS)
    await ledger.rollOver(100)
    await ledger.rollOver(100)
    for (const id of ids) {
      const { settled, period_ends_at } = await rowOf(id)
      assert.equal(settled, 0n)
      assert.ok(period_ends_at && period_ends_at > runtime.now())
      assert.equal((await eventsOf(id, 'budget.changed')).filter((data) => data['change'] === 'rollover').length, 1)
    }
    await assertBalanced(at, ...ids)
  })

  it('is the same for two ledgers on one database that both see it', async () => {
    const at = await scene(wide)
    const daily = await openCap(at.project, { period: 'daily', limit: 500n })
    const other = createLedger({ ...database, runtime })
    const ask = (which: typeof ledger, key: string) =>
      which.reserve({
        key,
        budgetId: at.run,
        amount: 100n,
        holder: 'test',
        subject: { projectId: at.projectId, machineId: null, runId: at.runId },
        leaseMs: MINUTE_MS,
      })
    await ledger.settle((await ask(ledger, 'before')).id, spend(at, 100n))
    await other.settle((await ask(other, 'before too')).id, spend(at, 100n))
    toMidnight()
    await Promise.all([ask(ledger, 'after'), ask(other, 'after too'), ledger.rollOver(100), other.rollOver(100)])
    assert.deepEqual(
      (await balances([daily])).map(({ settled, reserved }) => [settled, reserved]),
      [[0n, 200n]],
    )
    await assertBalanced(at, daily)
  })

  it('lets thresholds and exhaustion be told once more', async () => {
    const at = await scene(wide)
    const daily = await openCap(at.project, { period: 'daily', limit: 100n, thresholds: [90, 50, 50] })
    for (let day = 0; day < 2; day++) {
      for (const amount of [40n, 20n, 35n]) await ledger.settle((await hold(at.run, amount)).id, spend(at, amount))
      for (let knock = 0; knock < 3; knock++) await assert.rejects(hold(at.run, 6n), withCode('budget.insufficient'))
      toMidnight()
    }
    assert.deepEqual(
      (await eventsOf(daily, 'budget.threshold')).map((data) => data['percent']),
      [50, 90, 50, 90],
    )
    assert.equal((await eventsOf(daily, 'budget.exhausted')).length, 2)
    await change(daily, { limit: 200n, thresholds: [10] })
    await ledger.settle((await hold(at.run, 30n)).id, spend(at, 30n))
    assert.deepEqual((await eventsOf(daily, 'budget.threshold')).map((data) => data['percent']).at(-1), 10)
  })
})

describe('the share of a project', () => {
  it('is taken of what is left above the project, through all its caps', async () => {
    const at = await scene({ organisation: 1_000n, project: 10_000n, run: 10_000n })
    await change(at.project, { sharePpm: 250_000n })
    assert.equal(await ledger.available(at.run), 250n)
    const daily = await openCap(at.project, { period: 'daily', limit: 5_000n })
    assert.equal(await ledger.available(at.run), 250n)
    await assert.rejects(hold(at.run, 251n), withCode('budget.insufficient'))
    await hold(at.run, 250n)
    assert.equal(await ledger.available(at.run), 187n)
    await change(daily, { sharePpm: 1_000_000n })
    assert.equal(await ledger.available(at.run), 750n)
    assert.deepEqual([(await rowOf(at.project)).share_ppm, (await rowOf(daily)).share_ppm], [1_000_000n, 1_000_000n])
    await hold(at.run, 750n)
    await assertBalanced(at, daily)
  })
})

describe('a frozen budget', () => {
  it('thaws when its limit is set, and by nothing else', async () => {
    const at = await scene(wide)
    await ledger.settle((await hold(at.run, 10n)).id, spend(at, 20n))
    await change(at.run, { thresholds: [70], policy: 'finish-step' })
    await assert.rejects(hold(at.run, 1n), withCode('budget.exhausted'))
    await change(at.run, { limit: wide.run })
    await hold(at.run, 1n)
    const { frozen_at, thresholds, policy } = await rowOf(at.run)
    assert.deepEqual([frozen_at, thresholds, policy], [null, [70], 'finish-step'])
  })
})
