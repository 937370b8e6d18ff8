/** Near the limit the provider's own count is asked for, once, and used only if it makes sense. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { after, describe, it } from 'node:test'
import { ask, INPUT, OUTPUT, refusalOf, USD } from './test-calls.ts'
import { messageOf, openTestGateway, PROVIDER_KEY, sendJson, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

const COUNT = '/v1/messages/count_tokens?beta=true'
/** 40,000 bytes that the provider counts as 10,000 tokens: by bytes, a hold of 35 cents for the input alone. */
const long = (more: Record<string, unknown> = {}) =>
  ask({ max_tokens: 8_000, stream: false, temperature: 1, messages: [{ role: 'user', content: 'word '.repeat(8_000) }], ...more })
const COUNTED = 10_000
/** By bytes only a stump of an answer would be affordable, by count all of it. */
const TIGHT = (USD * 39n) / 100n

/** An upstream that counts as told, and bills the counted input and half of the granted output. */
function counting(count: (res: ServerResponse) => void): void {
  hub.answerWith((seen, res) => {
    if (seen.url.startsWith('/v1/messages/count_tokens')) return count(res)
    sendJson(res, messageOf(usageOf(COUNTED, Number(seen.body['max_tokens']))))
  })
}
const call = async (limit: bigint, body: unknown) => {
  const machine = await hub.machine(limit)
  const response = await machine.call(body, { path: '?beta=true', headers: { 'anthropic-beta': 'one' } })
  await response.clone().arrayBuffer()
  return { machine, response }
}
const heldOf = (usage: { detail: unknown } | undefined) => BigInt((usage?.detail as { held?: string } | undefined)?.held ?? 0)
const paths = () => hub.seen.map(({ url }) => url)

describe('a call whose bytes leave too little for an answer', () => {
  it('is counted by the provider with our key and the same input, and then affords what its bytes did not', async () => {
    counting((res) => sendJson(res, { input_tokens: COUNTED }))
    const { machine, response } = await call(TIGHT, long())
    assert.deepEqual([response.status, response.headers.get('autovibe-max-tokens')], [200, null])
    assert.deepEqual(paths(), [COUNT, '/v1/messages?beta=true'])
    const [counted, made] = hub.seen
    assert.deepEqual([counted?.headers['x-api-key'], counted?.headers['anthropic-beta']], [PROVIDER_KEY, 'one'])
    const { model, messages } = made?.body ?? {}
    assert.deepEqual(counted?.body, { model, messages })
    assert.deepEqual(await machine.budget(), { limit: TIGHT, settled: BigInt(COUNTED) * INPUT + 8_000n * OUTPUT, reserved: 0n })
  })

  it('is not counted while its bytes leave a comfortable answer, nor when no count could make one affordable', async () => {
    counting((res) => sendJson(res, { input_tokens: COUNTED }))
    assert.equal((await call(10n * USD, long())).response.status, 200)
    assert.deepEqual(paths(), ['/v1/messages?beta=true'])
    hub.seen.length = 0
    assert.equal((await refusalOf((await call(USD / 1000n, long())).response)).code, 'budget.insufficient')
    assert.deepEqual(paths(), [])
  })

  it('is not counted with a field that the count might leave out', async () => {
    counting((res) => sendJson(res, { input_tokens: 1 }))
    const { response } = await call(TIGHT, long({ some_new_field: 'x' }))
    assert.ok(Number(response.headers.get('autovibe-max-tokens')) < 8_000)
    assert.deepEqual(paths(), ['/v1/messages?beta=true'])
  })

  const senseless: Record<string, (res: ServerResponse) => void> = {
    'a negative count': (res) => sendJson(res, { input_tokens: -5 }),
    'a count of nothing': (res) => sendJson(res, { input_tokens: 0 }),
    'a huge count': (res) => sendJson(res, { input_tokens: Number.MAX_SAFE_INTEGER }),
    'a broken count': (res) => sendJson(res, { input_tokens: '10' }),
    'an answer without an end': (res) => void res.writeHead(200).write(`{"input_tokens": 10, "x": "${'x'.repeat(100_000)}`),
    'no JSON': (res) => void res.writeHead(200).end('<html>'),
    'a refusal': (res) => sendJson(res, { input_tokens: 10 }, 429),
    'a closed connection': (res) => void res.socket?.destroy(),
    'no answer in time': () => undefined,
  }
  for (const [what, answer] of Object.entries(senseless)) {
    it(`is bounded by its bytes after ${what}, which was asked for once`, async () => {
      counting(answer)
      const { machine, response } = await call(TIGHT, long())
      assert.equal(response.status, 200)
      const granted = BigInt(response.headers.get('autovibe-max-tokens') ?? 0)
      assert.ok(granted >= 1_024n && granted < 8_000n)
      assert.deepEqual(paths(), [COUNT, '/v1/messages?beta=true'])
      const [usage] = await machine.usage()
      assert.ok(heldOf(usage) >= 40_000n * 8_800n)
    })
  }

  it('never bills more than was held when many are made at once and the count is right', async () => {
    counting((res) => sendJson(res, { input_tokens: COUNTED }))
    const machine = await hub.machine(USD)
    const answers = await Promise.all(Array.from({ length: 8 }, async () => (await machine.call(long())).status))
    const { settled, reserved, limit } = await machine.budget()
    assert.ok(settled <= limit && reserved === 0n, `${settled}`)
    assert.ok(answers.includes(200))
    for (const usage of await machine.usage()) assert.ok(usage.cost <= heldOf(usage))
  })
})
