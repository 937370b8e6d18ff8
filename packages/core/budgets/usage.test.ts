/** Reading what the wire says was consumed, in the forms that have cost others money. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { NO_TOKENS } from './prices.ts'
import { plainPrice } from './testing.ts'
import { costOfUsage, NO_USAGE, usageAfterEvent, usageOfMessage } from './usage.ts'

const table = { version: 'test', models: new Map([['plain', plainPrice]]) }
const start = (usage: unknown) => ({ type: 'message_start', message: { id: 'msg_1', model: 'plain', usage } })
const delta = (usage: unknown, stopReason: string | null = null) => ({ type: 'message_delta', delta: { stop_reason: stopReason }, usage })
const follow = (...events: unknown[]) => events.reduce<typeof NO_USAGE>(usageAfterEvent, NO_USAGE)

describe('usage on the wire', () => {
  it('counts each cached token once', () => {
    const { usage, completeness } = usageOfMessage({
      id: 'm',
      model: 'plain',
      usage: {
        input_tokens: 1,
        cache_read_input_tokens: 2,
        cache_creation_input_tokens: 7,
        cache_creation: { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 4 },
        output_tokens: 5,
        output_tokens_details: { thinking_tokens: 4 },
      },
    })
    assert.equal(completeness, 'full')
    assert.deepEqual(usage.tokens, { input: 1n, cacheRead: 2n, cacheWrite5m: 3n, cacheWrite1h: 4n, output: 5n })
  })

  it('takes the last cumulative figure that is not null, and is complete only with a stop reason and an output', () => {
    const begun = start({ input_tokens: 10, cache_read_input_tokens: 5, output_tokens: 1 })
    assert.equal(follow(begun, delta({ output_tokens: 9 })).completeness, 'input')
    assert.equal(follow(begun, delta({}, 'end_turn')).completeness, 'input')
    const ended = follow(begun, delta({ output_tokens: 9 }), delta({ input_tokens: 12, cache_read_input_tokens: null, output_tokens: 30 }, 'end_turn'))
    assert.equal(ended.completeness, 'full')
    assert.deepEqual(ended.usage.tokens, { ...NO_TOKENS, input: 12n, cacheRead: 5n, output: 30n })
    assert.equal(follow(delta({ output_tokens: 9 }, 'end_turn')).completeness, 'none')
  })

  it('keeps the split of cache writes, and takes what grows beyond it as the dear kind', () => {
    const begun = start({
      input_tokens: 0,
      cache_creation_input_tokens: 100,
      cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 0 },
      output_tokens: 0,
    })
    const writes = (total: number | null) => follow(begun, delta({ cache_creation_input_tokens: total, output_tokens: 0 }, 'end_turn')).usage.tokens
    assert.deepEqual([writes(null).cacheWrite5m, writes(null).cacheWrite1h], [100n, 0n])
    assert.deepEqual([writes(100).cacheWrite5m, writes(100).cacheWrite1h], [100n, 0n])
    assert.deepEqual([writes(130).cacheWrite5m, writes(130).cacheWrite1h], [100n, 30n])
    assert.deepEqual(writes(0), writes(100))
  })

  it('does not let a broken figure lower a bill', () => {
    for (const broken of [-5, 1.5, '7', null, Number.NaN]) {
      const after = follow(start({ input_tokens: 10, output_tokens: 3 }), delta({ input_tokens: broken, output_tokens: broken }, 'end_turn'))
      assert.deepEqual([after.usage.tokens.input, after.usage.tokens.output, after.completeness], [10n, 3n, 'input'])
    }
    assert.equal(usageOfMessage({ usage: { input_tokens: -1, output_tokens: 5 } }).completeness, 'none')
    assert.equal(usageOfMessage({ usage: null }).completeness, 'none')
    assert.equal(usageOfMessage('text').completeness, 'none')
  })

  it('adds what is billed beside the message, and rounds the whole call up once', () => {
    const message = {
      id: 'm',
      model: 'plain',
      usage: {
        input_tokens: 1,
        output_tokens: 0,
        server_tool_use: { web_search_requests: 2 },
        iterations: [
          { type: 'message', input_tokens: 1 },
          { type: 'compaction', input_tokens: 10, output_tokens: 1 },
        ],
      },
    }
    const { usage } = usageOfMessage(message)
    assert.equal(costOfUsage(table, plainPrice, usage), 4_000n + 2n * 10_000_000n + 10n * 4_000n + 20_000n)
    const crumb = { ...plainPrice, rates: { ...plainPrice.rates, input: 1n, output: 1n } }
    assert.equal(costOfUsage({ ...table, models: new Map() }, crumb, { ...NO_USAGE.usage, tokens: { ...NO_TOKENS, input: 1n, output: 1n } }), 1n)
  })

  it('charges the surcharge of a region, rounded up', () => {
    const costIn = (region: string | null) =>
      costOfUsage(table, plainPrice, usageOfMessage({ id: 'm', model: 'plain', usage: { input_tokens: 1, output_tokens: 0, inference_geo: region } }).usage)
    assert.equal(costIn('us'), 4_400n)
    for (const none of ['', 'global', 'not_available', null]) assert.equal(costIn(none), 4_000n)
  })

  it('charges a model without a price of its own at the price of the model that was asked for', () => {
    const usage = { ...NO_USAGE.usage, model: 'unknown', tokens: { ...NO_TOKENS, output: 1n } }
    assert.equal(costOfUsage(table, plainPrice, usage), 20_000n)
  })

  it('takes a figure that is no count for unknown, never for zero', () => {
    for (const broken of [null, undefined, '500', -5, 1.5, {}]) {
      assert.equal(usageOfMessage({ id: 'm', usage: { input_tokens: 10, output_tokens: broken } }).completeness, 'input')
    }
    for (const broken of ['9000', -1, 1.5, {}]) {
      for (const name of ['cache_read_input_tokens', 'cache_creation_input_tokens']) {
        assert.equal(usageOfMessage({ id: 'm', usage: { input_tokens: 10, output_tokens: 5, [name]: broken } }).completeness, 'none')
      }
    }
    assert.equal(usageOfMessage({ id: 'm', usage: { input_tokens: 10, output_tokens: 5, cache_read_input_tokens: null } }).completeness, 'full')
  })

  it('reads any event without failing', () => {
    fc.assert(fc.property(fc.array(fc.jsonValue()), (events) => void events.reduce<typeof NO_USAGE>(usageAfterEvent, NO_USAGE)))
  })
})
