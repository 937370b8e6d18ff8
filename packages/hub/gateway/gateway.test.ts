/** The gateway from a machine's side: what passes, what is changed, what is charged. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ask, INPUT, OUTPUT, refusalOf, USD } from './test-calls.ts'
import { deltaEvent, messageOf, openStream, openTestGateway, PROVIDER_KEY, sendJson, startEvent, stopEvent, textEvent, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

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

  it('says in its usage whether an answer ended where the clamp ended it, whole or as a stream, and nothing of it otherwise', async () => {
    const detailOf = async (maxTokens: number, output: (granted: number) => number, stream: boolean) => {
      hub.answerWith((seen, res) => {
        const tokens = output(Number(seen.body['max_tokens']))
        if (!stream) return sendJson(res, messageOf(usageOf(100, tokens), { stop_reason: 'max_tokens' }))
        openStream(res).end(startEvent(usageOf(100, 1)) + deltaEvent({ output_tokens: tokens }, 'max_tokens') + stopEvent())
      })
      const machine = await hub.machine(USD)
      await (await machine.call(ask({ max_tokens: maxTokens, stream }))).text()
      await machine.settled()
      const [told] = await machine.events('usage.recorded')
      const { clamped, ended_by_clamp } = (told?.['detail'] ?? {}) as Record<string, unknown>
      return [clamped, ended_by_clamp]
    }
    for (const stream of [false, true]) {
      assert.deepEqual(await detailOf(128_000, (granted) => granted, stream), [true, true])
      assert.deepEqual(await detailOf(128_000, (granted) => granted - 1, stream), [true, undefined])
      assert.deepEqual(await detailOf(500, (granted) => granted, stream), [undefined, undefined])
    }
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
