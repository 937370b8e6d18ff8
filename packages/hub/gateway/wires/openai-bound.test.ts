/** The bound lemma for every OpenAI model on sale: what the vendor bills for a request that went out is never more than was held for it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boundCall, boundInputTokens, boundNanoUsd } from '@autovibe/core/budgets/bound.ts'
import { costAtMost, costOfUsage } from '@autovibe/core/budgets/usage.ts'
import fc from 'fast-check'
import { openaiPrices } from '../prices/table.ts'
import { openaiChat } from './openai-chat.ts'
import { openaiResponses } from './openai-responses.ts'
import { outgoingText, send } from './testing.ts'

const IMAGE = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }
const model = fc.constantFrom(...openaiPrices.models.keys())
/** Shares of what is possible, in thousandths: of the input, of it read from and written to a cache, of the output. */
const shares = fc.tuple(fc.nat(1_000), fc.nat(1_000), fc.nat(1_000), fc.nat(1_000))

/** What a vendor reports that made one token of each byte, scaled each image to its most, and used all or part of what it was allowed. */
function billed(input: number, output: number, [share, read, write, made]: readonly [number, number, number, number]) {
  const total = Math.floor((input * share) / 1_000)
  const cached = Math.floor((total * read) / 1_000)
  const written = Math.floor(((total - cached) * write) / 1_000)
  const completion = Math.floor((output * made) / 1_000)
  return { total, cached, written, completion }
}

describe('the hold of a call to OpenAI', () => {
  it('covers the bill of a Chat completion, long or short, cached or not, with images and several choices', () => {
    const text = fc.oneof(fc.nat(5_000), fc.integer({ min: 250_000, max: 300_000 }))
    const requests = fc.record({ model, text, images: fc.nat(3), n: fc.integer({ min: 1, max: 4 }), limit: fc.option(fc.integer({ min: 1, max: 128_000 })) })
    fc.assert(
      fc.property(requests, shares, fc.integer({ min: 1, max: 50_000 }), ({ model, text, images, n, limit }, share, granted) => {
        const price = openaiPrices.models.get(model)
        assert.ok(price)
        const content = [{ type: 'text', text: 'x'.repeat(text) }, ...Array.from({ length: images }, () => IMAGE)]
        const sent = send(openaiChat, { model, n, ...(limit === null ? {} : { max_tokens: limit }), messages: [{ role: 'user', content }] })
        const asked = Number(sent.facts.maxTokens)
        const grantedTokens = BigInt(Math.min(asked, granted))
        const bound = boundCall(price, boundInputTokens(sent.facts.size, price), sent.facts.choices)
        const hold = boundNanoUsd(bound, grantedTokens)

        const out = JSON.parse(outgoingText(openaiChat, sent, grantedTokens)) as { n: number; max_tokens?: number; max_completion_tokens?: number }
        const window = Number(price.contextWindowTokens)
        const perImage = model.startsWith('gpt-4o-mini') ? 48_169 : 24_600
        const most = Math.min(window, text + 200) + images * perImage
        const { total, cached, written, completion } = billed(most, out.n * (out.max_tokens ?? out.max_completion_tokens ?? 0), share)
        const answer = (usage: object) => openaiChat.usageOfAnswer({ id: 'c', model, choices: [], usage })
        const { usage, completeness } = answer({
          prompt_tokens: total,
          prompt_tokens_details: { cached_tokens: cached, cache_write_tokens: written },
          completion_tokens: completion,
          total_tokens: total + completion,
        })
        assert.equal(completeness, 'full')
        assert.ok(costOfUsage(openaiPrices, price, usage) <= hold)
        assert.ok(costAtMost(openaiPrices, price, usage, grantedTokens * sent.facts.choices) <= hold)
      }),
      { numRuns: 400 },
    )
  })

  it('covers the bill of a response, also when reasoning is looked up that only the vendor has', () => {
    fc.assert(
      fc.property(model, fc.nat(5_000), fc.boolean(), fc.integer({ min: 16, max: 128_000 }), shares, (model, text, hidden, limit, share) => {
        const price = openaiPrices.models.get(model)
        assert.ok(price)
        const input = [{ role: 'user', content: 'x'.repeat(text) }, ...(hidden ? [{ type: 'reasoning', id: 'rs_1', summary: [] }] : [])]
        const { facts } = send(openaiResponses, { model, max_output_tokens: limit, input })
        const hold = boundNanoUsd(boundCall(price, boundInputTokens(facts.size, price), facts.choices), BigInt(limit))
        const window = Number(price.contextWindowTokens)
        const { total, cached, written, completion } = billed(hidden ? window : Math.min(window, text + 200), limit, share)
        const { usage } = openaiResponses.usageOfAnswer({
          id: 'r',
          model,
          usage: {
            input_tokens: total,
            input_tokens_details: { cached_tokens: cached, cache_write_tokens: written },
            output_tokens: completion,
            output_tokens_details: { reasoning_tokens: completion },
            total_tokens: total + completion,
          },
        })
        assert.ok(costOfUsage(openaiPrices, price, usage) <= hold)
      }),
      { numRuns: 1_000 },
    )
  })
})
