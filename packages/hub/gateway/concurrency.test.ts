/** Many calls at once: they share one budget, wait for one another, and are bounded. */
import assert from 'node:assert/strict'
import { EventEmitter, on } from 'node:events'
import { after, describe, it } from 'node:test'
import { ask, INPUT, OUTPUT, refusalOf, USD } from './test-calls.ts'
import { deltaEvent, messageOf, openStream, openTestGateway, sendJson, startEvent, stopEvent, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

describe('many calls at once', () => {
  it('never overspend: 64 on a budget for about ten', async () => {
    let billed = 0n
    let most = 0n
    const limit = 15n * 1_000_000n
    const machines = await Promise.all([hub.machine(limit * 10n), hub.machine(limit * 10n)])
    // Both machines spend from one budget.
    const [first, second] = machines
    await hub.db.updateTable('runs').set({ budget_id: first.budgetId }).where('id', '=', second.runId).execute()
    await hub.db.updateTable('budgets').set({ limit }).where('id', '=', first.budgetId).execute()
    hub.answerWith(async (seen, res) => {
      const output = Math.min(Number(seen.body['max_tokens']), 60)
      billed += 20n * INPUT + BigInt(output) * OUTPUT
      // Looked at while other calls are under way.
      const { settled, reserved } = await first.budget()
      if (settled + reserved > most) most = settled + reserved
      sendJson(res, messageOf(usageOf(20, output)))
    })
    const body = ask({ max_tokens: 64 })
    const responses = await Promise.all(machines.flatMap((machine) => Array.from({ length: 32 }, () => machine.call(body))))
    const statuses = await Promise.all(responses.map(async (response) => ((await response.json()) && response.status) as number))
    assert.ok(most > 0n && most <= limit, `${most} was used or held on a limit of ${limit}`)
    const budget = await first.budget()
    assert.ok(billed <= limit, `${billed} was billed on a limit of ${limit}`)
    assert.deepEqual(budget, { limit, settled: billed, reserved: 0n })
    assert.deepEqual([...new Set(statuses)].sort(), statuses.every((status) => status === 200) ? [200] : [200, 402])
    // What is left does not suffice for one more: nobody was refused while there was money.
    if (statuses.includes(402)) assert.equal((await refusalOf(await first.call(body))).status, 402)
  })

  it('wait for money that other calls hold instead of being refused', async () => {
    const nextHeld = holdAnswers()
    const machine = await hub.machine(45_000_000n)
    const first = machine.call(ask({ max_tokens: 1024 }))
    const second = machine.call(ask({ max_tokens: 1024 }))
    const answerFirst = await nextHeld()
    // The second cannot have been admitted: the first holds more than half.
    assert.ok((await machine.budget()).reserved > 22_500_000n)
    assert.equal(hub.seen.length, 1)
    answerFirst()
    const answerSecond = await nextHeld()
    answerSecond()
    assert.deepEqual([(await first).status, (await second).status], [200, 200])
  })

  it('end with a settlement when the Hub shuts down, and no more are taken', async () => {
    const closing = await openTestGateway()
    const machine = await closing.machine(USD)
    let finish = () => {}
    closing.answerWith((_, res) => {
      openStream(res).write(startEvent(usageOf(10, 1)))
      finish = () => res.end(deltaEvent({ output_tokens: 7 }) + stopEvent())
    })
    const response = await machine.call(ask({ stream: true }))
    const closed = closing.gateway.close()
    assert.deepEqual(await refusalOf(await machine.call(ask())), { status: 502, type: 'api_error', code: 'provider.unavailable', retry: null })
    finish()
    assert.ok((await response.text()).endsWith(stopEvent()))
    await closed
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 10n * INPUT + 7n * OUTPUT, reserved: 0n })
    await closing.closeAll()
  })

  it('of one machine are bounded', async () => {
    const nextHeld = holdAnswers()
    const machine = await hub.machine(USD * 100n)
    const calls = Array.from({ length: 33 }, () => machine.call(ask()))
    const one = await Promise.race(calls)
    assert.deepEqual(await refusalOf(one), { status: 429, type: 'rate_limit_error', code: 'request.rate_limited', retry: null })
    const held = await Promise.all(Array.from({ length: 32 }, nextHeld))
    for (const answer of held) answer()
    assert.equal((await Promise.all(calls)).filter((response) => response.status === 200).length, 32)
  })
})

/** Keeps each answer of the upstream back; the returned function waits for the next call that gets there and hands over what answers it. */
function holdAnswers(): () => Promise<() => void> {
  const arrivals = new EventEmitter()
  const calls = on(arrivals, 'call')
  hub.answerWith((_, res) => void arrivals.emit('call', () => sendJson(res, messageOf(usageOf(10, 10)))))
  return async () => {
    const arrived = await calls.next()
    assert.ok(!arrived.done)
    return arrived.value[0]
  }
}
