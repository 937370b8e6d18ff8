/** Caps of other resources than money: what they hold of a call, what they let through, and what a call costs them. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import type { BudgetId, Resource } from '@autovibe/contract'
import { ask, INPUT, OUTPUT, refusalOf, USD } from './test-calls.ts'
import { messageOf, openTestGateway, sendJson, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

const open = (scope: 'run' | 'project', scopeId: string, resource: Resource, limit: bigint) =>
  hub.db.transaction().execute((tx) => hub.ledger.openBudget(tx, { scope, scopeId, parentId: null, resource, limit }))
const balanceOf = (id: BudgetId) => hub.db.selectFrom('budgets').select(['settled', 'reserved']).where('id', '=', id).executeTakeFirstOrThrow()
const answering = () => hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 50))))

describe('a call under caps of other resources', () => {
  it('is counted as one call and by its tokens, and takes no seconds', async () => {
    answering()
    const machine = await hub.machine(USD)
    const calls = await open('project', machine.projectId, 'api_calls', 10n)
    const tokens = await open('run', machine.runId, 'tokens', 100_000n)
    const seconds = await open('project', machine.projectId, 'wall_seconds', 5n)
    assert.equal((await machine.call(ask())).status, 200)
    await machine.settled()
    assert.deepEqual(
      [await balanceOf(calls), await balanceOf(tokens), await balanceOf(seconds)],
      [
        { settled: 1n, reserved: 0n },
        { settled: 150n, reserved: 0n },
        { settled: 0n, reserved: 0n },
      ],
    )
    assert.deepEqual((await machine.usage()).map(({ resource, amount }) => `${resource} ${amount}`).sort(), [
      'api_calls 1',
      `money ${100n * INPUT + 50n * OUTPUT}`,
      'tokens 150',
    ])
    assert.deepEqual((await hub.ledger.audit()).findings, [])
  })

  for (const [resource, limit] of [
    ['api_calls', 0n],
    ['tokens', 1_000n],
    ['wall_seconds', 0n],
    ['storage_bytes', 0n],
  ] as const) {
    it(`is refused when what is left of ${resource} does not cover it, and holds nothing then`, async () => {
      answering()
      const machine = await hub.machine(USD)
      const cap = await open('project', machine.projectId, resource, limit)
      const other = await open('project', machine.projectId, 'cpu_seconds', 100n)
      const refusal = await refusalOf(await machine.call(ask()))
      assert.deepEqual([refusal.status, refusal.retry], [402, 'false'])
      assert.equal(refusal.code, limit === 0n ? 'budget.exhausted' : 'budget.insufficient')
      assert.equal(hub.seen.length, 0)
      for (const { settled, reserved } of [await balanceOf(cap), await balanceOf(other), await machine.budget()])
        assert.deepEqual([settled, reserved], [0n, 0n])
    })
  }

  it('is not refused for a cap on bytes of egress, of which it takes none', async () => {
    answering()
    const machine = await hub.machine(USD)
    await open('project', machine.projectId, 'egress_bytes', 0n)
    assert.equal((await machine.call(ask())).status, 200)
    await machine.settled()
  })

  it('is refused once a report of the machine has used up a cap', async () => {
    answering()
    const machine = await hub.machine(USD)
    const cap = await open('run', machine.runId, 'cpu_seconds', 5n)
    assert.equal((await machine.call(ask())).status, 200)
    const { projectId, machineId, runId } = machine
    await hub.ledger.charge('a report', { projectId, machineId, runId, resource: 'cpu_seconds', amount: 7n, quality: 'measured', cost: 0n }, cap)
    assert.equal((await refusalOf(await machine.call(ask()))).code, 'budget.exhausted')
  })

  it('gives everything back when the provider has billed nothing', async () => {
    hub.answerWith((_, res) => sendJson(res, { type: 'error', error: { type: 'overloaded_error', message: 'busy' } }, 529))
    const machine = await hub.machine(USD)
    const [calls, tokens] = [await open('run', machine.runId, 'api_calls', 5n), await open('run', machine.runId, 'tokens', 50_000n)]
    assert.equal((await machine.call(ask())).status, 529)
    await machine.settled()
    for (const cap of [calls, tokens]) assert.deepEqual(await balanceOf(cap), { settled: 0n, reserved: 0n })
  })

  it('waits while only other calls are in the way, so that none is made beyond the cap', async () => {
    answering()
    const machine = await hub.machine(USD * 10n)
    const tokens = await open('run', machine.runId, 'tokens', 4_000n)
    const answers = await Promise.all(Array.from({ length: 6 }, () => machine.call(ask())))
    assert.ok(answers.every(({ status }) => status === 200))
    await machine.settled()
    assert.deepEqual(await balanceOf(tokens), { settled: 900n, reserved: 0n })
  })

  it('is capped as soon as the gateway hears of a cap that was not there when it made the first one', async () => {
    answering()
    const machine = await hub.machine(USD)
    assert.equal((await machine.call(ask())).status, 200)
    await open('run', machine.runId, 'api_calls', 0n)
    // The word of the database is on its way.
    while ((await machine.call(ask())).status === 200);
    assert.equal((await refusalOf(await machine.call(ask()))).code, 'budget.exhausted')
  })
})
