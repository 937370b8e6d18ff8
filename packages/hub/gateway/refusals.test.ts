/** What the gateway refuses itself, and what it passes on of a provider that refuses. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ask, refusalOf, USD, type WireError } from './test-calls.ts'
import { messageOf, openStream, openTestGateway, sendJson, sse, UNREADABLE_KEY, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

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
      assert.deepEqual(await refusalOf(await machine.call(ask({ model }))), { status: 404, type: 'not_found_error', code: 'model.unpriced', retry: 'false' })
    }
  })

  it('meets a wrong token, the token of another machine, a machine without a run, a provider without a key, a wrong path', async () => {
    const machine = await hub.machine(USD)
    const other = await hub.machine(USD)
    for (const key of ['', 'wrong', other.token]) assert.equal((await refusalOf(await machine.call(ask(), { headers: { 'x-api-key': key } }))).status, 401)
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

  it('meets a key that the master key does not open, for good, and the reason is told', async () => {
    const machine = await hub.machine(USD)
    await hub.db
      .insertInto('providers')
      .values({
        name: 'sealed',
        wire: 'anthropic',
        base_url: hub.upstreamUrl,
        default_model: 'm',
        simulated: false,
        key_sealed: Buffer.from(UNREADABLE_KEY),
        updated_at: new Date(),
      })
      .execute()
    await hub.db.updateTable('runs').set({ provider: 'sealed' }).where('id', '=', machine.runId).execute()
    assert.deepEqual(await refusalOf(await machine.call(ask())), { status: 403, type: 'permission_error', code: 'hub.master_key', retry: 'false' })
    const [told] = await machine.events('gateway.call_refused')
    assert.deepEqual([told?.['code'], /provider set sealed/.test(String(told?.['fix']))], ['hub.master_key', true])
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
