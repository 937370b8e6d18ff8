/** A provider's own count as a bound: never below the bill when the count is right, never above what was known, and nothing from an answer that makes no sense. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { boundCall, boundNanoUsd } from './bound.ts'
import { boundOfCount, fieldsToCount } from './counted-input.ts'
import { anyPrice, tokensWithin } from './testing.ts'
import { costOfUsage, NO_USAGE } from './usage.ts'

describe('the bound by a count', () => {
  it('is never below the bill of a call whose input is what was counted, at any prices and however it was cached', () => {
    const calls = fc
      .tuple(anyPrice, fc.bigInt(1n, 400_000n), fc.bigInt(0n, 128_000n), fc.bigInt(0n, 2_000_000n), fc.boolean())
      .chain(([price, counted, output, slack, regionSurcharge]) =>
        tokensWithin(counted, output).map((tokens) => ({
          price,
          counted,
          output,
          known: counted + slack,
          usage: { ...NO_USAGE.usage, tokens, regionSurcharge },
        })),
      )
    fc.assert(
      fc.property(calls, ({ price, counted, output, known, usage }) => {
        const inputTokens = boundOfCount({ input_tokens: Number(counted) }, known)
        assert.ok(inputTokens !== null && inputTokens >= counted && inputTokens <= known)
        const table = { version: 'test', models: new Map([['a-model', price]]) }
        assert.ok(costOfUsage(table, price, usage) <= boundNanoUsd(boundCall(price, inputTokens), output))
      }),
      { numRuns: 2_000 },
    )
  })

  it('leaves room for a count that is a twentieth too low', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), (counted) => {
        assert.ok((boundOfCount({ input_tokens: counted }, 10_000_000n) ?? 0n) >= BigInt(Math.floor(counted * 1.05)))
      }),
    )
  })

  it('takes the input before the provider clears old parts of it', () => {
    const answer = { input_tokens: 1_000, context_management: { original_input_tokens: 40_000 } }
    assert.equal(boundOfCount(answer, 1_000_000n), 42_512n)
  })

  it('never lowers anything for an answer without a whole positive figure, nor raises it for a huge one', () => {
    for (const figure of [-1, 0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e300, '100', null, undefined, {}, [5]]) {
      assert.equal(boundOfCount({ input_tokens: figure }, 100n), null, String(figure))
    }
    for (const answer of [null, 5, 'text', [], [{ input_tokens: 5 }]]) assert.equal(boundOfCount(answer, 100n), null)
    assert.equal(boundOfCount({ input_tokens: Number.MAX_SAFE_INTEGER }, 100n), 100n)
    assert.equal(boundOfCount({ input_tokens: 5, context_management: { original_input_tokens: -7 } }, 10_000n), 517n)
  })
})

describe('the fields that are counted', () => {
  it('are those that make the input, and none at all beside a field that nobody knows', () => {
    assert.deepEqual(fieldsToCount(['model', 'max_tokens', 'messages', 'stream', 'thinking', 'metadata']), ['model', 'messages', 'thinking'])
    assert.equal(fieldsToCount(['model', 'messages', 'some_new_field']), null)
  })
})
