/** The ledger against a real PostgreSQL: the invariant in every order, races, repeats, and what is told. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { AutovibeError, type BudgetId, type ProjectId, type ReservationId, type RunId } from '@autovibe/contract'
import fc from 'fast-check'
import { sql } from 'kysely'
import { freshDatabase } from '../database/testing.ts'
import { type Runtime, systemRuntime } from '../runtime.ts'
import { createLedger } from './create-ledger.ts'
import type { Consumption } from './ledger.ts'

/** A clock that the test moves; ids stay the system's. */
let clockMs = Date.parse('2026-11-01T00:00:00Z')
const runtime: Runtime = { ...systemRuntime, now: () => new Date(clockMs) }
const MINUTE_MS = 60_000

const database = await freshDatabase()
const ledger = createLedger({ db: database.db, runtime })
after(() => database.close())

interface Scene {
  readonly projectId: ProjectId
  readonly runId: RunId
  readonly organisation: BudgetId
  readonly project: BudgetId
  readonly run: BudgetId
}

/** A project with a machine and a run, each with a budget of the given limit. */
async function scene(limits: { organisation: bigint; project: bigint; run: bigint }): Promise<Scene> {
  const projectId = runtime.newId('project')
  const machineId = runtime.newId('machine')
  const runId = runtime.newId('run')
  const at = runtime.now()
  await database.db
    .insertInto('projects')
    .values({ id: projectId, name: projectId.replace('_', '-').slice(0, 40), source_sha256: null, created_at: at })
    .execute()
  await sql`insert into machines (id, name, project_id, state, created_at) values (${machineId}, ${machineId}, ${projectId}, 'running', ${at})`.execute(
    database.db,
  )
  await sql`insert into runs (id, project_id, machine_id, prompt, agent, provider, model, state, created_at)
    values (${runId}, ${projectId}, ${machineId}, 'p', 'builtin', 'anthropic', 'claude-opus-5-5', 'running', ${at})`.execute(database.db)
  return database.db.transaction().execute(async (tx) => {
    // A root of its own for each scene, so that tests do not share one.
    const organisation = await ledger.openBudget(tx, {
      scope: 'organisation',
      scopeId: runtime.newId('budget'),
      parentId: null,
      resource: 'money',
      limit: limits.organisation,
    })
    const project = await ledger.openBudget(tx, { scope: 'project', scopeId: projectId, parentId: organisation, resource: 'money', limit: limits.project })
    const run = await ledger.openBudget(tx, { scope: 'run', scopeId: runId, parentId: project, resource: 'money', limit: limits.run })
    return { projectId, runId, organisation, project, run }
  })
}

let keys = 0
const hold = (budgetId: BudgetId, amount: bigint, key = `key ${keys++}`, leaseMs = MINUTE_MS) =>
  ledger.reserve({ key, budgetId, amount, holder: 'test', leaseMs })
const spend = (at: Scene, amount: bigint): Consumption => ({
  projectId: at.projectId,
  machineId: null,
  runId: at.runId,
  resource: 'money',
  amount,
  quality: 'measured',
  cost: amount,
})
const balances = (ids: BudgetId[]) =>
  database.db.selectFrom('budgets').select(['id', 'limit', 'settled', 'reserved', 'version']).where('id', 'in', ids).orderBy('id').execute()
const eventsOf = async (budgetId: BudgetId, type: string) =>
  (await database.db.selectFrom('events').select('data').where('type', '=', type).orderBy('seq').execute())
    .map((row) => row.data)
    .filter((data) => data['budget_id'] === budgetId)
const withCode = (code: string) => (error: unknown) => error instanceof AutovibeError && error.code === code

/** Recomputes every balance of a scene from its ledger rows. */
async function assertBalanced(at: Scene): Promise<void> {
  for (const row of await balances([at.organisation, at.project, at.run])) {
    const { rows } = await sql<{ reserved: bigint; settled: bigint; open: bigint }>`
      select coalesce(sum(reserved_delta), 0)::bigint as reserved, coalesce(sum(settled_delta), 0)::bigint as settled,
        (select coalesce(sum(amount), 0)::bigint from reservations where state = 'open' and id in (select reservation_id from ledger_entries where budget_id = ${row.id})) as open
      from ledger_entries where budget_id = ${row.id}`.execute(database.db)
    assert.deepEqual({ reserved: row.reserved, settled: row.settled, open: row.reserved }, rows[0])
  }
}

describe('the ledger', () => {
  it('admits no more than the limit when 64 callers race for it', async () => {
    const at = await scene({ organisation: 10_000n, project: 1_000n, run: 5_000n })
    const outcomes = await Promise.allSettled(Array.from({ length: 64 }, () => hold(at.run, 100n)))
    const held = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    assert.equal(held.length, 10)
    for (const outcome of outcomes) if (outcome.status === 'rejected') assert.ok(withCode('budget.exhausted')(outcome.reason))
    assert.equal(await ledger.available(at.run), 0n)
    await assertBalanced(at)
    await Promise.all(held.map(({ id }, index) => (index % 2 ? ledger.release(id) : ledger.settle(id, spend(at, 60n)))))
    assert.equal(await ledger.available(at.run), 700n)
    await assertBalanced(at)
  })

  it('answers 64 repeats of one key with one reservation', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    const answers = await Promise.all(Array.from({ length: 64 }, () => hold(at.run, 100n, 'the same')))
    assert.equal(new Set(answers.map(({ id }) => id)).size, 1)
    assert.equal(await ledger.available(at.run), 900n)
    const other = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    assert.equal((await hold(other.run, 5n, 'the same')).id, answers[0]?.id)
    assert.equal(await ledger.available(other.run), 1_000n)
  })

  it('changes nothing on a second settle, and answers with the first usage event', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    const { id } = await hold(at.run, 100n)
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => ledger.settle(id, spend(at, BigInt(40 + index)))))
    assert.equal(new Set(answers).size, 1)
    const usage = await database.db.selectFrom('usage_events').select(['amount', 'cost']).where('reservation_id', '=', id).execute()
    assert.equal(usage.length, 1)
    await ledger.release(id)
    assert.equal(await ledger.available(at.run), 1_000n - (usage[0]?.amount ?? 0n))
    await assertBalanced(at)
  })

  it('refuses to settle what was released', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    const { id } = await hold(at.run, 100n)
    await ledger.release(id)
    await ledger.release(id)
    await assert.rejects(ledger.settle(id, spend(at, 1n)), withCode('conflict.state'))
    await assertBalanced(at)
  })

  it('posts a bill above its hold in full, and raises the alarm', async () => {
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 100n })
    const { id } = await hold(at.run, 100n)
    await ledger.settle(id, spend(at, 150n))
    assert.equal(await ledger.available(at.run), 0n)
    assert.equal(await ledger.available(at.project), 850n)
    const overruns = (await eventsOf(at.run, 'budget.changed')).filter((data) => data['change'] === 'overrun')
    assert.deepEqual(
      overruns.map((data) => data['overrun']),
      [{ reservation_id: id, held: '100', billed: '150' }],
    )
    await assertBalanced(at)
  })

  it('settles an expired hold in full and as estimated, and leaves a living one alone', async () => {
    // What earlier tests have left open.
    clockMs += 60 * MINUTE_MS
    await ledger.expire(1_000)
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    const lost = await hold(at.run, 100n)
    const alive = await hold(at.run, 200n)
    clockMs += 40_000
    await ledger.extend(alive.id, MINUTE_MS)
    await ledger.extend(alive.id, 1)
    clockMs += 40_000
    const expired = await Promise.all([ledger.expire(100), ledger.expire(100)])
    assert.equal(expired[0] + expired[1], 1)
    assert.equal(await ledger.expire(100), 0)
    const usage = await database.db
      .selectFrom('usage_events')
      .select(['amount', 'quality', 'run_id', 'project_id'])
      .where('reservation_id', '=', lost.id)
      .executeTakeFirstOrThrow()
    assert.deepEqual(usage, { amount: 100n, quality: 'estimated', run_id: at.runId, project_id: at.projectId })
    assert.equal(await ledger.available(at.run), 700n)
    // The late settle of a holder that came back.
    await ledger.settle(lost.id, spend(at, 7n))
    assert.equal(await ledger.available(at.run), 700n)
    await ledger.release(alive.id)
    await assertBalanced(at)
  })

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
    const set = (limit: bigint, version: bigint) => database.db.transaction().execute((tx) => ledger.setLimit(tx, at.run, limit, version))
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
    await database.db.transaction().execute((tx) => ledger.record(tx, spend(at, 130n), at.run))
    await database.db.transaction().execute((tx) => ledger.record(tx, { ...spend(at, 9n), resource: 'wall_seconds' }, null))
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

  it('keeps settled + reserved <= limit on every link whatever is done at the same time, in any order', async () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant('reserve' as const), narrow: fc.boolean(), amount: fc.bigInt(0n, 400n) }),
      fc.record({ do: fc.constantFrom('settle' as const, 'release' as const, 'extend' as const), which: fc.nat(50), share: fc.integer({ min: 0, max: 100 }) }),
      fc.record({ do: fc.constant('expire' as const), advanceMs: fc.integer({ min: 0, max: 90_000 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(action, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 }), async (rounds) => {
        const at = await scene({ organisation: 2_000n, project: 1_000n, run: 700n })
        const held: { id: ReservationId; amount: bigint }[] = []
        const perform = async (step: (typeof rounds)[number][number]): Promise<void> => {
          if (step.do === 'reserve') {
            const reservation = await hold(step.narrow ? at.run : at.project, step.amount).catch((error: unknown) => {
              if (error instanceof AutovibeError && error.code.startsWith('budget.')) return null
              throw error
            })
            if (reservation) held.push(reservation)
          } else if (step.do === 'expire') {
            clockMs += step.advanceMs
            await ledger.expire(100)
          } else {
            const target = held[step.which % Math.max(held.length, 1)]
            if (!target) return
            if (step.do === 'release') await ledger.release(target.id)
            else if (step.do === 'extend') await ledger.extend(target.id, MINUTE_MS)
            else {
              await ledger.settle(target.id, spend(at, (target.amount * BigInt(step.share)) / 100n)).catch((error: unknown) => {
                if (!withCode('conflict.state')(error)) throw error
              })
            }
          }
        }
        for (const round of rounds) {
          await Promise.all(round.map(perform))
          for (const row of await balances([at.organisation, at.project, at.run])) assert.ok(row.settled + row.reserved <= row.limit)
        }
        await assertBalanced(at)
      }),
      { numRuns: 25 },
    )
  })
})
