/** Holds of the ledger against a real PostgreSQL: races, repeats, bills above a hold, and holds that nobody ends. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { MINUTE_MS, openTestLedger, spend, withCode } from './testing.ts'

const { database, ledger, scene, hold, eventsOf, assertBalanced, advance } = await openTestLedger()
after(() => database.close())

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
    advance(60 * MINUTE_MS)
    await ledger.expire(1_000)
    const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
    const lost = await hold(at.run, 100n)
    const alive = await hold(at.run, 200n)
    advance(40_000)
    await ledger.extend([alive.id], MINUTE_MS)
    await ledger.extend([alive.id], 1)
    advance(40_000)
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
})
