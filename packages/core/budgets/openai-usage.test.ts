/** Reading the figures of the OpenAI wires: each token once, nothing lowered by a broken figure. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { usageAfterChunk, usageOfCompletion } from './openai-chat.ts'
import { usageAfterResponseEvent, usageOfResponse } from './openai-responses.ts'
import { inputTokensOf, NO_TOKENS } from './prices.ts'
import { NO_USAGE } from './usage.ts'

const completion = (usage: unknown) => ({ id: 'chatcmpl-1', object: 'chat.completion', model: 'gpt-5-2025-08-07', choices: [], usage })
const response = (usage: unknown, status = 'completed') => ({ id: 'resp_1', object: 'response', model: 'gpt-5-2025-08-07', status, output: [], usage })

describe('usage on the OpenAI wires', () => {
  it('counts cached, written and reasoning tokens once, in a completion and in a response', () => {
    const chat = usageOfCompletion(
      completion({
        prompt_tokens: 100,
        completion_tokens: 50,
        total_tokens: 150,
        prompt_tokens_details: { cached_tokens: 60, cache_write_tokens: 30, audio_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 40, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
      }),
    )
    const answer = usageOfResponse(
      response({
        input_tokens: 100,
        input_tokens_details: { cached_tokens: 60, cache_write_tokens: 30 },
        output_tokens: 50,
        output_tokens_details: { reasoning_tokens: 40 },
        total_tokens: 150,
      }),
    )
    for (const { usage, completeness } of [chat, answer]) {
      assert.equal(completeness, 'full')
      assert.equal(usage.model, 'gpt-5-2025-08-07')
      assert.deepEqual(usage.tokens, { input: 10n, cacheRead: 60n, cacheWrite5m: 30n, cacheWrite1h: 0n, output: 50n })
    }
    assert.deepEqual([chat.usage.messageId, answer.usage.messageId], ['chatcmpl-1', 'resp_1'])
  })

  it('gives no discount by parts that contradict the whole', () => {
    const tokensOf = (cached: unknown, written: unknown) =>
      usageOfCompletion(completion({ prompt_tokens: 10, completion_tokens: 0, prompt_tokens_details: { cached_tokens: cached, cache_write_tokens: written } }))
        .usage.tokens
    assert.deepEqual(tokensOf(11, 0), { ...NO_TOKENS, input: 10n })
    assert.deepEqual(tokensOf(6, 5), { ...NO_TOKENS, input: 5n, cacheWrite5m: 5n })
    assert.deepEqual(tokensOf(0, 99), { ...NO_TOKENS, cacheWrite5m: 10n })
    assert.deepEqual(tokensOf(null, null), { ...NO_TOKENS, input: 10n })
    fc.assert(fc.property(fc.nat(20), fc.nat(20), (cached, written) => assert.equal(inputTokensOf(tokensOf(cached, written)), 10n)))
  })

  it('takes a part that is no count for unknown, never for zero', () => {
    for (const broken of [-1, 1.5, '9', {}]) {
      for (const name of ['cached_tokens', 'cache_write_tokens']) {
        const usage = { prompt_tokens: 10, completion_tokens: 0, prompt_tokens_details: { [name]: broken } }
        assert.equal(usageOfCompletion(completion(usage)).completeness, 'none')
      }
    }
  })

  it('believes a total that says more than its parts', () => {
    assert.equal(usageOfCompletion(completion({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 45 })).usage.tokens.output, 35n)
    assert.equal(usageOfCompletion(completion({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 3 })).usage.tokens.output, 5n)
  })

  it('knows nothing without both figures', () => {
    for (const usage of [undefined, null, {}, [], 'x', { prompt_tokens: 1 }, { completion_tokens: 1 }, { prompt_tokens: -1, completion_tokens: 1 }]) {
      assert.equal(usageOfCompletion(completion(usage)).completeness, 'none')
    }
    assert.equal(usageOfResponse(response(null, 'failed')).completeness, 'none')
    assert.equal(usageOfCompletion('text').completeness, 'none')
  })

  it('takes the chunk without choices as the last word of a stream, and earlier figures as what is known so far', () => {
    const chunk = (choices: unknown[], output: number | null) => ({
      ...completion(output === null ? null : { prompt_tokens: 10, completion_tokens: output }),
      choices,
    })
    const early = usageAfterChunk(NO_USAGE, chunk([{ index: 0, delta: {} }], 2))
    assert.deepEqual([early.completeness, early.usage.tokens.input], ['input', 10n])
    const silent = usageAfterChunk(early, chunk([{ index: 0 }], null))
    assert.equal(silent, early)
    const last = usageAfterChunk(silent, chunk([], 9))
    assert.deepEqual([last.completeness, last.usage.tokens.output], ['full', 9n])
  })

  it('takes the usage of a response from its last event, whatever its end', () => {
    const figures = { input_tokens: 10, output_tokens: 5, total_tokens: 15 }
    for (const type of ['response.completed', 'response.incomplete', 'response.failed']) {
      assert.equal(usageAfterResponseEvent(NO_USAGE, { type, response: response(figures) }).completeness, 'full')
    }
    for (const type of ['response.created', 'response.in_progress', 'response.output_text.delta', 7]) {
      assert.equal(usageAfterResponseEvent(NO_USAGE, { type, response: response(figures) }), NO_USAGE)
    }
    assert.equal(usageAfterResponseEvent(NO_USAGE, { type: 'response.failed', response: response(null, 'failed') }), NO_USAGE)
  })

  it('reads any event without failing', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (events) => {
        events.reduce<typeof NO_USAGE>(usageAfterChunk, NO_USAGE)
        events.reduce<typeof NO_USAGE>(usageAfterResponseEvent, NO_USAGE)
      }),
    )
  })
})
