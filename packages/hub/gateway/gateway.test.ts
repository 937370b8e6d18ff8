/** The gateway from a machine's side: what passes, what is changed, what is charged, what is refused. */
import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { after, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { deltaEvent, messageOf, openStream, openTestGateway, PROVIDER_KEY, sendJson, sse, startEvent, stopEvent, textEvent, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

const USD = 1_000_000_000n
const ask = (more: Record<string, unknown> = {}) => ({ model: 'claude-opus-5-5', max_tokens: 1000, messages: [{ role: 'user', content: 'hi' }], ...more })
/** claude-opus-5-5: 4 and 20 dollars for a million tokens of input and output; nano-dollars per token. */
const INPUT = 4_000n
const OUTPUT = 20_000n

interface WireError {
  type: string
  error: { type: string; message: string; autovibe?: { code: string; fix?: string } }
}
async function refusalOf(response: Response): Promise<{ status: number; type: string; code: string | undefined; retry: string | null }> {
  const body = (await response.json()) as WireError
  assert.equal(body.type, 'error')
  return { status: response.status, type: body.error.type, code: body.error.autovibe?.code, retry: response.headers.get('x-should-retry') }
}

describe('a call through the gateway', () => {
  it('reaches the provider with our key, its own fields and versions, and nothing of the machine; and is charged to the nano-dollar', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 50)), 200, { 'request-id': 'req_7', 'set-cookie': 'a=b' }))
    const machine = await hub.machine(USD)
    const body = JSON.stringify(ask({ some_new_field: { keep: [1, 2.5] } }))
    const response = await machine.call(body, {
      path: '?beta=true',
      headers: { 'anthropic-beta': 'one,two', cookie: 'x=y', 'anthropic-workspace-id': 'wrkspc_1' },
    })
    assert.equal(response.status, 200)
    assert.equal(((await response.json()) as { id: string }).id, 'msg_1')
    assert.equal(response.headers.get('request-id'), 'req_7')
    assert.equal(response.headers.get('set-cookie'), null)
    assert.equal(response.headers.get('autovibe-cost'), (100n * INPUT + 50n * OUTPUT).toString())
    const [seen] = hub.seen
    assert.ok(seen)
    assert.equal(seen.url, '/v1/messages?beta=true')
    assert.equal(seen.text, body)
    assert.equal(seen.headers['x-api-key'], PROVIDER_KEY)
    assert.equal(seen.headers['anthropic-beta'], 'one,two')
    assert.equal(seen.headers['anthropic-version'], '2023-06-01')
    for (const name of ['authorization', 'cookie', 'anthropic-workspace-id']) assert.equal(seen.headers[name], undefined)
    assert.ok(!JSON.stringify(seen).includes(machine.token))
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 100n * INPUT + 50n * OUTPUT, reserved: 0n })
    const [usage] = await machine.usage()
    assert.ok(usage)
    assert.deepEqual(usage.tokens, { input: '100', cache_read: '0', cache_write_5m: '0', cache_write_1h: '0', output: '50' })
    assert.equal(usage.quality, 'measured')
    assert.equal(usage.message_id, 'msg_1')
    assert.equal(usage.price_version?.startsWith('anthropic-'), true)
    assert.equal((await machine.events('usage.recorded')).length, 1)
  })

  it('streams as it comes, and charges the last cumulative figures', async () => {
    let goOn = () => {}
    const held = new Promise<void>((resolve) => {
      goOn = resolve
    })
    hub.answerWith(async (_, res) => {
      openStream(res).write(
        startEvent({
          input_tokens: 10,
          cache_creation_input_tokens: 300,
          cache_read_input_tokens: 1000,
          cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
          output_tokens: 1,
        }),
      )
      await held
      for (const piece of textEvent('"message_delta" Größe 🚀').match(/[\s\S]{1,7}/g) ?? []) res.write(piece)
      res.write(deltaEvent({ output_tokens: 20 }, null))
      res.write(deltaEvent({ input_tokens: null, cache_creation_input_tokens: null, cache_read_input_tokens: null, output_tokens: 70 }))
      res.end(stopEvent())
    })
    const machine = await hub.machine(USD)
    const response = await machine.call(ask({ stream: true }), { headers: { 'x-api-key': '', authorization: `Bearer ${machine.token}` } })
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    const reader = response.body?.getReader()
    assert.ok(reader)
    // The first event is here although the upstream has not gone on.
    let text = new TextDecoder().decode((await reader.read()).value)
    assert.match(text, /message_start/)
    assert.ok((await machine.budget()).reserved > 0n)
    goOn()
    const decoder = new TextDecoder()
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) text += decoder.decode(piece.value, { stream: true })
    assert.ok(text.includes('Größe 🚀'))
    assert.ok(text.endsWith(stopEvent()))
    // Cache: read 0.2, write 5 (five minutes) and 8 (an hour) dollars for a million.
    const cost = 10n * INPUT + 1000n * 200n + 100n * 5_000n + 200n * 8_000n + 70n * OUTPUT
    assert.deepEqual(await machine.budget(), { limit: USD, settled: cost, reserved: 0n })
  })

  it('counts cache writes without a split as the dear kind, and a compaction on top', async () => {
    hub.answerWith((_, res) =>
      sendJson(
        res,
        messageOf({
          input_tokens: 1,
          cache_creation_input_tokens: 100,
          output_tokens: 2,
          iterations: [
            { type: 'message', input_tokens: 1, output_tokens: 2 },
            { type: 'compaction', input_tokens: 500, output_tokens: 30 },
          ],
        }),
      ),
    )
    const machine = await hub.machine(USD)
    await (await machine.call(ask())).json()
    assert.equal((await machine.budget()).settled, 1n * INPUT + 100n * 8_000n + 2n * OUTPUT + 500n * INPUT + 30n * OUTPUT)
  })

  it('lowers max_tokens to what is affordable, changes no other byte, and says so', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 50))))
    const machine = await hub.machine(USD)
    const text =
      '{"model" : "claude-opus-5-5", "metadata":{"max_tokens":7},\n "max_tokens":   128000 ,"messages":[{"role":"user","content":"\\"max_tokens\\":1 é"}], "x":1.0e2}'
    const response = await machine.call(text)
    assert.equal(response.status, 200)
    const granted = Number(response.headers.get('autovibe-max-tokens'))
    assert.ok(granted > 1024 && granted < 128_000)
    assert.equal(hub.seen[0]?.text, text.replace('128000', String(granted)))
    const [clamped] = await machine.events('gateway.call_clamped')
    assert.deepEqual([clamped?.['asked_max_tokens'], clamped?.['max_tokens']], ['128000', String(granted)])
  })

  it('keeps thinking.budget_tokens below max_tokens, or refuses', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 50))))
    const machine = await hub.machine(USD / 5n)
    const thinking = (budget: number) => ask({ max_tokens: 32_000, thinking: { type: 'enabled', budget_tokens: budget } })
    assert.equal((await machine.call(thinking(3_000))).status, 200)
    assert.ok(Number(hub.seen[0]?.body['max_tokens']) >= 4_024)
    assert.deepEqual(await refusalOf(await machine.call(thinking(20_000))), { status: 402, type: 'billing_error', code: 'budget.insufficient', retry: 'false' })
    assert.equal(hub.seen.length, 1)
  })

  it('passes counting tokens through and charges nothing', async () => {
    hub.answerWith((_, res) => sendJson(res, { input_tokens: 12 }))
    const machine = await hub.machine(USD)
    const { max_tokens: _, ...question } = ask()
    const response = await machine.call(question, { path: '/count_tokens?beta=true' })
    assert.deepEqual(await response.json(), { input_tokens: 12 })
    assert.equal(hub.seen[0]?.url, '/v1/messages/count_tokens?beta=true')
    assert.deepEqual(await machine.usage(), [])
    const fetched = await machine.call(
      { ...question, messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'url', url: 'http://x/' } }] }] },
      { path: '/count_tokens' },
    )
    assert.equal((await refusalOf(fetched)).code, 'model.unbounded')
  })
})

describe('a refusal of the gateway', () => {
  it('is in the form of the wire, is not to be retried, names the way out, and reaches nobody', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(1, 1))))
    const machine = await hub.machine(USD / 1000n)
    const response = await machine.call(ask())
    const body = (await response.clone().json()) as WireError
    assert.match(body.error.message, /budget/)
    assert.match(body.error.autovibe?.fix ?? '', /autovibe budget set bud_/)
    assert.deepEqual(await refusalOf(response), { status: 402, type: 'billing_error', code: 'budget.insufficient', retry: 'false' })
    assert.equal(hub.seen.length, 0)
    assert.equal((await machine.events('gateway.call_refused'))[0]?.['code'], 'budget.insufficient')
    assert.equal((await machine.events('budget.exhausted')).length, 1)
    assert.deepEqual(await machine.budget(), { limit: USD / 1000n, settled: 0n, reserved: 0n })
  })

  const image = (source: unknown) => ({
    messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: [{ type: 'image', source }] }] }],
  })
  const unbounded: Record<string, Record<string, unknown>> = {
    'tools[1].type': {
      tools: [
        { name: 'a', input_schema: {} },
        { type: 'web_search_20250305', name: 'web_search' },
      ],
    },
    mcp_servers: { mcp_servers: [{ type: 'url', url: 'https://x', name: 'x' }] },
    container: { container: 'c' },
    service_tier: { service_tier: 'priority' },
    speed: { speed: 'fast' },
    inference_geo: { inference_geo: 'mars' },
    fallbacks: { fallbacks: 'default' },
    thread: { thread: { type: 'continue', previous_message_id: 'msg_1' } },
    'context_management.edits[0].type': { context_management: { edits: [{ type: 'compact_20260112' }] } },
    'messages[0].content[0].content[0].source.type': image({ type: 'url', url: 'http://x' }),
    'messages[0].content[0].source.type': { messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'file', file_id: 'f' } }] }] },
    'messages[0].content[0].type': { messages: [{ role: 'user', content: [{ type: 'container_upload', file_id: 'f' }] }] },
  }
  for (const [field, more] of Object.entries(unbounded)) {
    it(`names ${field} as what has no upper bound`, async () => {
      const machine = await hub.machine(USD)
      const response = await machine.call(ask(more))
      assert.ok(((await response.clone().json()) as WireError).error.message.includes(field))
      assert.equal((await refusalOf(response)).code, 'model.unbounded')
    })
  }

  it('meets a model without a price, also one whose name begins like a priced one', async () => {
    const machine = await hub.machine(USD)
    for (const model of ['claude-sonnet-5-5', 'claude-opus-5-5-fast', 'gpt-9']) {
      assert.deepEqual(await refusalOf(await machine.call(ask({ model }))), { status: 402, type: 'billing_error', code: 'model.unpriced', retry: 'false' })
    }
  })

  it('meets a body with two meanings, no meaning, or too much of it', async () => {
    const machine = await hub.machine(USD)
    const bad = [
      '{"model":"claude-opus-5-5","model":"claude-fable-5","max_tokens":1,"messages":[]}',
      '{"model":"claude-opus-5-5","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","\\u0074ype":"container_upload"}]}]}',
      '{"model":',
      '[]',
      JSON.stringify(ask({ max_tokens: -1 })),
      JSON.stringify(ask({ max_tokens: 1.5 })),
      JSON.stringify(ask({ messages: 'hi' })),
      `{"a":${'['.repeat(300)}${']'.repeat(300)}}`,
    ]
    for (const body of bad)
      assert.deepEqual(await refusalOf(await machine.call(body)), { status: 400, type: 'invalid_request_error', code: 'request.invalid', retry: 'false' })
    const status = await new Promise((resolve, reject) => {
      const req = httpRequest(
        `${machine.url}/gateway/v1/messages`,
        { method: 'POST', headers: { 'x-api-key': machine.token, 'content-length': 33 * 1024 * 1024 } },
        (res) => resolve(res.statusCode),
      )
      req.on('error', reject).write('{')
    })
    assert.equal(status, 413)
  })

  it('meets a wrong token, the token of another machine, a machine without a run, a provider without a key, a wrong path', async () => {
    const machine = await hub.machine(USD)
    const other = await hub.machine(USD)
    for (const key of ['', 'wrong', other.token]) assert.equal((await refusalOf(await machine.call(ask(), { headers: { 'x-api-key': key } }))).status, 401)
    await hub.db.updateTable('machines').set({ token_hash: null }).where('id', '=', other.machineId).execute()
    assert.equal((await refusalOf(await other.call(ask()))).status, 401)
    const path = await fetch(`${machine.url}/gateway/v1/messages/batches`, { method: 'POST', headers: { 'x-api-key': machine.token }, body: '{}' })
    assert.deepEqual(await refusalOf(path), { status: 404, type: 'not_found_error', code: 'not_found', retry: 'false' })
    assert.equal((await fetch(`${machine.url}/gateway/`, { method: 'HEAD' })).status, 200)
    assert.equal((await fetch(`${machine.url}/gateway/api/hello`, { method: 'HEAD' })).status, 200)
    await hub.db
      .insertInto('providers')
      .values({ name: 'bare', wire: 'anthropic', base_url: hub.upstreamUrl, default_model: 'm', simulated: false, key_sealed: null, updated_at: new Date() })
      .execute()
    await hub.db.updateTable('runs').set({ provider: 'bare' }).where('id', '=', machine.runId).execute()
    assert.equal((await refusalOf(await machine.call(ask()))).code, 'provider.key_missing')
    await hub.db.updateTable('runs').set({ ended_at: new Date(), state: 'succeeded' }).where('id', '=', machine.runId).execute()
    assert.equal((await refusalOf(await machine.call(ask()))).code, 'conflict.state')
  })

  it('is told at a bounded rate, however often a machine knocks', async () => {
    const machine = await hub.machine(1n)
    for (let knock = 0; knock < 30; knock++) await (await machine.call(ask())).json()
    assert.equal((await machine.events('gateway.call_refused')).length, 20)
  })
})

describe('a provider that says no', () => {
  it('is passed on in its own words, with its headers, and nothing is charged', async () => {
    const machine = await hub.machine(USD)
    for (const [status, type] of [
      [400, 'invalid_request_error'],
      [429, 'rate_limit_error'],
      [529, 'overloaded_error'],
      [500, 'api_error'],
    ] as const) {
      hub.answerWith((_, res) => sendJson(res, { type: 'error', error: { type, message: 'theirs' } }, status, { 'retry-after': '7' }))
      const response = await machine.call(ask())
      assert.deepEqual(
        [response.status, await response.json(), response.headers.get('retry-after')],
        [status, { type: 'error', error: { type, message: 'theirs' } }, '7'],
      )
    }
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 0n, reserved: 0n })
    assert.deepEqual(await machine.usage(), [])
  })

  it('to our key is passed on, is not to be retried, and is told', async () => {
    hub.answerWith((_, res) => sendJson(res, { type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } }, 401))
    const machine = await hub.machine(USD)
    const response = await machine.call(ask())
    assert.deepEqual([response.status, response.headers.get('x-should-retry')], [401, 'false'])
    assert.equal((await machine.events('gateway.call_refused'))[0]?.['code'], 'provider.key_refused')
    assert.equal((await machine.budget()).settled, 0n)
  })

  it('inside a stream, before it began, is not charged', async () => {
    hub.answerWith((_, res) => void openStream(res).end(sse({ type: 'error', error: { type: 'overloaded_error', message: 'busy' } })))
    const machine = await hub.machine(USD)
    assert.match(await (await machine.call(ask({ stream: true }))).text(), /overloaded_error/)
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 0n, reserved: 0n })
  })

  it('by not being there costs nothing and may be tried again', async () => {
    const machine = await hub.machine(USD)
    await hub.db
      .insertInto('providers')
      .values({
        name: 'gone',
        wire: 'anthropic',
        base_url: 'http://127.0.0.1:1',
        default_model: 'm',
        simulated: false,
        key_sealed: Buffer.from('k'),
        updated_at: new Date(),
      })
      .execute()
    await hub.db.updateTable('runs').set({ provider: 'gone' }).where('id', '=', machine.runId).execute()
    assert.deepEqual(await refusalOf(await machine.call(ask())), { status: 502, type: 'api_error', code: 'provider.unavailable', retry: null })
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 0n, reserved: 0n })
  })
})

describe('a call that goes wrong on the way', () => {
  it('is charged at its exact input and all the output it may have made when the upstream breaks off, and the client is told', async () => {
    hub.answerWith(async (_, res) => {
      openStream(res).write(startEvent(usageOf(100, 1)))
      res.write(textEvent('half').slice(0, 40))
      await delay(0)
      res.destroy()
    })
    const machine = await hub.machine(USD)
    const text = await (await machine.call(ask({ stream: true }))).text()
    assert.match(text, /\n\nevent: error\ndata: .*"api_error"/)
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 100n * INPUT + 1000n * OUTPUT, reserved: 0n })
    assert.equal((await machine.usage())[0]?.quality, 'estimated')
  })

  it('is charged in full when the answer carries no figures, or none comes after the request was sent', async () => {
    for (const answer of [
      (res: Parameters<typeof sendJson>[0]) => sendJson(res, { type: 'message', id: 'msg_2' }),
      (res: Parameters<typeof sendJson>[0]) => void res.socket?.destroy(),
      (res: Parameters<typeof sendJson>[0]) => void openStream(res).end(textEvent('no figures')),
    ]) {
      const machine = await hub.machine(USD)
      let held = 0n
      hub.answerWith(async (_, res) => {
        held = (await machine.budget()).reserved
        answer(res)
      })
      await (await machine.call(ask())).text()
      assert.ok(held > 0n)
      assert.deepEqual(await machine.budget(), { limit: USD, settled: held, reserved: 0n })
      assert.equal((await machine.usage())[0]?.quality, 'estimated')
    }
  })

  it('is charged exactly when the client leaves and the upstream ends in time', async () => {
    const leave = new AbortController()
    hub.answerWith(async (_, res) => {
      openStream(res).write(startEvent(usageOf(100, 1)))
      leave.abort()
      await delay(20)
      res.end(deltaEvent({ output_tokens: 33 }) + stopEvent())
    })
    const machine = await hub.machine(USD)
    await assert.rejects(async () => (await machine.call(ask({ stream: true }), { signal: leave.signal })).text())
    await machine.settled()
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 100n * INPUT + 33n * OUTPUT, reserved: 0n })
    assert.equal((await machine.usage())[0]?.quality, 'measured')
  })

  it('posts in full what an alias that answers as a dearer model has cost', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 1000), { model: 'claude-fable-5' })))
    const machine = await hub.machine(USD)
    await (await machine.call(ask())).json()
    assert.equal((await machine.budget()).settled, 100n * 10_000n + 1000n * 50_000n)
    assert.equal((await machine.usage())[0]?.model, 'claude-fable-5')
  })

  it('does not grow memory for a client that reads slowly', async () => {
    const piece = textEvent('x'.repeat(64 * 1024))
    let written = 0
    hub.answerWith(async (_, res) => {
      openStream(res).write(startEvent(usageOf(1, 1)))
      for (let index = 0; index < 400; index++) {
        written++
        if (!res.write(piece) && !released) await Promise.race([new Promise((resolve) => res.once('drain', resolve)), stalled])
      }
      res.end(deltaEvent({ output_tokens: 5 }) + stopEvent())
    })
    let released = false
    let release = () => {}
    const stalled = new Promise<void>((resolve) => {
      release = resolve
    })
    const machine = await hub.machine(USD)
    const response = await machine.call(ask({ stream: true }))
    const reader = response.body?.getReader()
    assert.ok(reader)
    await reader.read()
    // Let everything flow that can flow while nobody reads: 26 MB would have to be somewhere otherwise.
    for (let before = -1; before !== written; await delay(100)) before = written
    assert.ok(written < 300, `${written} of 400 pieces left the upstream`)
    released = true
    release()
    for (let next = await reader.read(); !next.done; next = await reader.read());
    await machine.settled()
    assert.equal((await machine.usage())[0]?.quality, 'measured')
  })
})

describe('many calls at once', () => {
  it('never overspend: 64 on a budget for about ten', async () => {
    let billed = 0n
    const limit = 15n * 1_000_000n
    const machines = await Promise.all([hub.machine(limit * 10n), hub.machine(limit * 10n)])
    // Both machines spend from one budget.
    const [first, second] = machines
    await hub.db.updateTable('runs').set({ budget_id: first.budgetId }).where('id', '=', second.runId).execute()
    await hub.db.updateTable('budgets').set({ limit }).where('id', '=', first.budgetId).execute()
    hub.answerWith(async (seen, res) => {
      const output = Math.min(Number(seen.body['max_tokens']), 60)
      billed += 20n * INPUT + BigInt(output) * OUTPUT
      await delay(1)
      sendJson(res, messageOf(usageOf(20, output)))
    })
    const body = ask({ max_tokens: 64 })
    const responses = await Promise.all(machines.flatMap((machine) => Array.from({ length: 32 }, () => machine.call(body))))
    const statuses = await Promise.all(responses.map(async (response) => ((await response.json()) && response.status) as number))
    const budget = await first.budget()
    assert.ok(billed <= limit, `${billed} was billed on a limit of ${limit}`)
    assert.deepEqual(budget, { limit, settled: billed, reserved: 0n })
    assert.deepEqual([...new Set(statuses)].sort(), statuses.every((status) => status === 200) ? [200] : [200, 402])
    // What is left does not suffice for one more: nobody was refused while there was money.
    if (statuses.includes(402)) assert.equal((await refusalOf(await first.call(body))).status, 402)
  })

  it('wait for money that other calls hold instead of being refused', async () => {
    const answers: (() => void)[] = []
    hub.answerWith((_, res) => void answers.push(() => sendJson(res, messageOf(usageOf(10, 10)))))
    const machine = await hub.machine(45_000_000n)
    const first = machine.call(ask({ max_tokens: 1024 }))
    const second = machine.call(ask({ max_tokens: 1024 }))
    while (answers.length === 0) await delay(1)
    // The second cannot have been admitted: the first holds more than half.
    assert.ok((await machine.budget()).reserved > 22_500_000n)
    assert.equal(hub.seen.length, 1)
    answers.shift()?.()
    while (answers.length === 0) await delay(1)
    answers.shift()?.()
    assert.deepEqual([(await first).status, (await second).status], [200, 200])
  })

  it('end with a settlement when the Hub shuts down, and no more are taken', async () => {
    const closing = await openTestGateway()
    const machine = await closing.machine(USD)
    closing.answerWith(
      (_, res) => void openStream(res).write(startEvent(usageOf(10, 1)), () => setTimeout(() => res.end(deltaEvent({ output_tokens: 7 }) + stopEvent()), 50)),
    )
    const response = await machine.call(ask({ stream: true }))
    const closed = closing.gateway.close()
    assert.deepEqual(await refusalOf(await machine.call(ask())), { status: 502, type: 'api_error', code: 'provider.unavailable', retry: null })
    assert.ok((await response.text()).endsWith(stopEvent()))
    await closed
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 10n * INPUT + 7n * OUTPUT, reserved: 0n })
    await closing.closeAll()
  })

  it('of one machine are bounded', async () => {
    const answers: (() => void)[] = []
    hub.answerWith((_, res) => void answers.push(() => sendJson(res, messageOf(usageOf(10, 10)))))
    const machine = await hub.machine(USD * 100n)
    const calls = Array.from({ length: 33 }, () => machine.call(ask()))
    const one = await Promise.race(calls)
    assert.deepEqual(await refusalOf(one), { status: 429, type: 'rate_limit_error', code: 'request.rate_limited', retry: null })
    while (answers.length < 32) await delay(1)
    for (const answer of answers) answer()
    assert.equal((await Promise.all(calls)).filter((response) => response.status === 200).length, 32)
  })
})
