/** A provider that does not answer: after three tries nobody is let through, everybody is told why, and one call at a time looks whether it is back. */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, it } from 'node:test'
import { systemRuntime } from '../runtime.ts'
import { ask, refusalOf, USD, type WireError } from './test-calls.ts'
import { messageOf, openStream, openTestGateway, sendJson, sse, usageOf } from './testing.ts'

let aheadMs = 0
const hub = await openTestGateway({ ...systemRuntime, now: () => new Date(Date.now() + aheadMs) })
after(() => hub.closeAll())

/** A provider of its own address with nobody there, until `open`. */
async function absentProvider(name: string) {
  const listen = (server: Server, port: number) =>
    new Promise<number>((resolve) => server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
  const first = createServer()
  const port = await listen(first, 0)
  await new Promise((resolve) => first.close(resolve))
  await hub.db
    .insertInto('providers')
    .values({
      name,
      wire: 'anthropic',
      base_url: `http://127.0.0.1:${port}`,
      default_model: 'm',
      simulated: false,
      key_sealed: Buffer.from('k'),
      updated_at: new Date(),
    })
    .execute()
  let arrived = () => {}
  let server: Server | undefined
  return {
    async machine(limit = USD) {
      const machine = await hub.machine(limit)
      await hub.db.updateTable('runs').set({ provider: name }).where('id', '=', machine.runId).execute()
      return machine
    },
    /** Somebody is there again, who answers when told to; returns what resolves at the first request. */
    async open(answer: Promise<void>): Promise<{ arrived: Promise<void> }> {
      const first = new Promise<void>((resolve) => {
        arrived = resolve
      })
      server = createServer(async (req, res) => {
        arrived()
        for await (const _ of req);
        await answer
        sendJson(res, messageOf(usageOf(1, 1)))
      })
      await listen(server, port)
      return { arrived: first }
    },
    close: () => new Promise<void>((resolve) => (server ? void server.close(() => resolve()).closeAllConnections() : resolve())),
  }
}
type Machine = Awaited<ReturnType<typeof hub.machine>>

async function codes(machine: Machine, calls: number): Promise<(string | undefined)[]> {
  const seen: (string | undefined)[] = []
  for (let call = 0; call < calls; call++) seen.push((await refusalOf(await machine.call(ask()))).code)
  return seen
}
const holds = async (machine: Machine) => (await hub.db.selectFrom('reservations').select('id').where('run_id', '=', machine.runId).execute()).length
const told = async (machine: Machine) => [(await machine.events('gateway.upstream_down')).length, (await machine.events('gateway.upstream_up')).length]

describe('a provider that nobody reaches', () => {
  it('is left alone after three tries: calls are refused at once with its name and times, nothing is held, and each run is told once', async () => {
    const provider = await absentProvider('away')
    const machine = await provider.machine()
    assert.deepEqual(await codes(machine, 3), ['provider.unavailable', 'provider.unavailable', 'provider.down'])
    assert.equal(await holds(machine), 3)
    const other = await provider.machine()
    const response = await other.call(ask())
    assert.deepEqual([response.status, response.headers.get('retry-after'), response.headers.get('x-should-retry')], [503, '5', null])
    const { error } = (await response.json()) as WireError
    assert.match(error.message, /The provider away has not answered at http:\S+ since \S+Z \(ECONNREFUSED\)\. It is tried again at \S+Z\./)
    assert.deepEqual(await codes(machine, 3), ['provider.down', 'provider.down', 'provider.down'])
    assert.deepEqual([await holds(machine), await holds(other)], [3, 0])
    assert.deepEqual(
      [await told(machine), await told(other)],
      [
        [1, 0],
        [1, 0],
      ],
    )
    const [event] = await machine.events('gateway.upstream_down')
    assert.deepEqual([event?.['provider'], event?.['code']], ['away', 'provider.down'])
    // Another provider has nothing to do with it.
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(1, 1))))
    assert.equal((await (await hub.machine(USD)).call(ask())).status, 200)
  })

  it('is tried by one call after the pause, and is open to all when that one is answered', async () => {
    const provider = await absentProvider('returning')
    const machine = await provider.machine()
    const other = await provider.machine()
    await codes(machine, 4)
    await codes(other, 1)
    let answer = () => {}
    const { arrived: reached } = await provider.open(
      new Promise<void>((resolve) => {
        answer = resolve
      }),
    )
    aheadMs += 5_000
    const probe = machine.call(ask())
    await reached
    assert.deepEqual(await codes(other, 1), ['provider.down'])
    answer()
    assert.equal((await probe).status, 200)
    assert.equal((await other.call(ask())).status, 200)
    await provider.close()
    // That it is back is told beside the answers, not before them.
    for (const each of [machine, other]) for (let looks = 0; looks < 10_000 && (await told(each))[1] === 0; looks++);
    assert.deepEqual(
      [await told(machine), await told(other)],
      [
        [1, 1],
        [1, 1],
      ],
    )
  })

  it('waits longer after a try that failed', async () => {
    const provider = await absentProvider('still-away')
    const machine = await provider.machine()
    await codes(machine, 3)
    aheadMs += 5_000
    const response = await machine.call(ask())
    assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '10'])
    assert.deepEqual(await told(machine), [1, 0])
  })
})

describe('a provider that answers badly', () => {
  it('is never taken for one that is down, whatever its statuses and however it breaks off', async () => {
    const machine = await hub.machine(USD)
    for (const status of [429, 500, 502, 503, 529, 401]) {
      hub.answerWith((_, res) =>
        sendJson(res, { type: 'error', error: { type: 'api_error', message: 'theirs' } }, status, { 'retry-after': '7', 'x-should-retry': 'true' }),
      )
      for (let call = 0; call < 4; call++) {
        const response = await machine.call(ask())
        assert.deepEqual([response.status, response.headers.get('retry-after')], [status, '7'])
        await response.text()
      }
    }
    for (const breaks of [
      (res: Parameters<typeof sendJson>[0]) => void res.socket?.destroy(),
      (res: Parameters<typeof sendJson>[0]) => void openStream(res).end(sse({ type: 'error', error: { type: 'overloaded_error', message: 'busy' } })),
    ]) {
      const cheap = await hub.machine(USD)
      hub.answerWith((_, res) => breaks(res))
      for (let call = 0; call < 4; call++) await (await cheap.call(ask({ max_tokens: 1, stream: true }))).text()
      assert.equal(hub.seen.length, 4)
      assert.deepEqual(await told(cheap), [0, 0])
    }
  })
})
