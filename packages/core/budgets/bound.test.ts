/** The bound lemma: no call within its limits costs more than its bound; and the clamp keeps to it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { boundCall, boundInputTokens, boundNanoUsd, type RequestSize } from './bound.ts'
import { clamp, FLOOR_TOKENS, wantsTighterBound } from './clamp.ts'
import { anyPrice, plainPrice, tokensWithin } from './testing.ts'
import { costAtMost, costOfUsage, NO_USAGE } from './usage.ts'

const tableOf = (price: typeof plainPrice) => ({ version: 'test', models: new Map(price.ids.map((id) => [id, price])) })
const limits = fc.record({ input: fc.bigInt(0n, 400_000n), output: fc.bigInt(0n, 128_000n) })

describe('the bound of a call', () => {
  it('is never below the bill, at any prices, whatever the input was billed as, in any region', () => {
    const calls = fc
      .tuple(anyPrice, limits, fc.boolean())
      .chain(([price, limit, regionSurcharge]) =>
        tokensWithin(limit.input, limit.output).map((tokens) => ({ price, limit, usage: { ...NO_USAGE.usage, model: 'a-model', tokens, regionSurcharge } })),
      )
    fc.assert(
      fc.property(calls, ({ price, limit, usage }) => {
        const bound = boundNanoUsd(boundCall(price, limit.input), limit.output)
        assert.ok(costOfUsage(tableOf(price), price, usage) <= bound)
        assert.ok(costAtMost(tableOf(price), price, usage, limit.output) <= bound)
      }),
      { numRuns: 2_000 },
    )
  })

  it('grows with the output that is asked for', () => {
    fc.assert(
      fc.property(anyPrice, limits, fc.bigInt(0n, 1_000n), (price, limit, more) => {
        const bound = boundCall(price, limit.input)
        assert.ok(boundNanoUsd(bound, limit.output) <= boundNanoUsd(bound, limit.output + more))
      }),
    )
  })

  it('holds for several answers side by side, each of them up to the limit of output', () => {
    const calls = fc
      .tuple(anyPrice, limits, fc.bigInt(1n, 128n))
      .chain(([price, limit, choices]) => tokensWithin(limit.input, limit.output * choices).map((tokens) => ({ price, limit, choices, tokens })))
    fc.assert(
      fc.property(calls, ({ price, limit, choices, tokens }) => {
        const bound = boundNanoUsd(boundCall(price, limit.input, choices), limit.output)
        assert.ok(costOfUsage(tableOf(price), price, { ...NO_USAGE.usage, tokens }) <= bound)
      }),
      { numRuns: 1_000 },
    )
  })

  it('counts a long prompt at the tier that it may reach, and a short one at the plain price', () => {
    const tiered = { ...plainPrice, tiers: [{ aboveInputTokens: 200_000n, rates: { ...plainPrice.rates, cacheWrite1h: 16_000_000n, output: 30_000_000n } }] }
    assert.equal(boundCall(tiered, 200_000n).outputPicoUsdPerToken, 22_000_000n)
    assert.equal(boundCall(tiered, 200_001n).outputPicoUsdPerToken, 33_000_000n)
  })
})

describe('the bound of the input', () => {
  const size: RequestSize = {
    textBytes: 0,
    images: 0,
    beyondWindowTokens: 0,
    fillsWindow: false,
    blocks: 0,
    tools: 0,
    vendorTools: 0,
    toolReferences: 0,
    longestToolBytes: 0,
    hasCitations: false,
  }

  it('is at least a token for each byte, and never more than the model can take', () => {
    fc.assert(
      fc.property(fc.nat(5_000_000), fc.nat(1000), fc.nat(50), (textBytes, blocks, images) => {
        const tokens = boundInputTokens({ ...size, textBytes, blocks, images }, plainPrice)
        assert.ok(tokens <= plainPrice.contextWindowTokens)
        assert.ok(tokens >= BigInt(Math.min(textBytes, 1_000_000)))
      }),
    )
  })

  it('of a PDF is the whole window, since its bytes say nothing', () => {
    assert.equal(boundInputTokens({ ...size, textBytes: 10, fillsWindow: true }, plainPrice), 1_000_000n)
  })

  it('counts what is billed without room in the window on top of a full window', () => {
    assert.equal(boundInputTokens({ ...size, fillsWindow: true, beyondWindowTokens: 7 }, plainPrice), 1_000_007n)
    assert.equal(boundInputTokens({ ...size, textBytes: 5_000_000, beyondWindowTokens: 7 }, plainPrice), 1_000_007n)
  })

  it('goes beyond the listed window where a dearer tier begins at its end', () => {
    const opens = { ...plainPrice, contextWindowTokens: 200_000n, tiers: [{ aboveInputTokens: 200_000n, rates: plainPrice.rates }] }
    assert.ok(boundInputTokens({ ...size, textBytes: 500_000 }, opens) >= 500_000n)
    assert.equal(boundInputTokens({ ...size, textBytes: 500_000 }, { ...plainPrice, contextWindowTokens: 200_000n }), 200_000n)
  })
})

describe('the clamp', () => {
  const questions = fc.record({
    price: anyPrice,
    inputTokens: fc.bigInt(0n, 400_000n),
    maxTokens: fc.bigInt(0n, 128_000n),
    thinkingTokens: fc.option(fc.bigInt(1_024n, 100_000n)),
    availableNanoUsd: fc.bigInt(0n, 10_000_000_000n),
  })

  it('holds no more than there is, gives no more than was asked, and never less than is of use', () => {
    fc.assert(
      fc.property(questions, ({ price, inputTokens, ...rest }) => {
        const bound = boundCall(price, inputTokens)
        const answer = clamp({ ...rest, bound })
        const floor = [rest.maxTokens, FLOOR_TOKENS + (rest.thinkingTokens ?? 0n)].reduce((a, b) => (a < b ? a : b))
        if (!answer.fits) {
          assert.equal(answer.floorTokens, floor)
          assert.equal(answer.holdNanoUsd, boundNanoUsd(bound, floor))
          assert.ok(answer.holdNanoUsd > rest.availableNanoUsd)
          return
        }
        assert.ok(answer.holdNanoUsd <= rest.availableNanoUsd)
        assert.equal(answer.holdNanoUsd, boundNanoUsd(bound, answer.maxTokens))
        assert.ok(answer.maxTokens >= floor && answer.maxTokens <= rest.maxTokens)
        assert.equal(answer.clamped, answer.maxTokens < rest.maxTokens)
        if (answer.clamped && rest.thinkingTokens !== null) assert.ok(answer.maxTokens > rest.thinkingTokens)
      }),
      { numRuns: 2_000 },
    )
  })

  it('changes nothing while half of what is there suffices, and leaves room for the calls beside it', () => {
    const bound = boundCall(plainPrice, 10_000n)
    const ask = (availableNanoUsd: bigint) => clamp({ bound, maxTokens: 128_000n, thinkingTokens: null, availableNanoUsd })
    const roomy = ask(10_000_000_000n)
    assert.ok(roomy.fits && !roomy.clamped)
    const tight = ask(2_000_000_000n)
    assert.ok(tight.fits && tight.clamped && tight.holdNanoUsd <= 1_000_000_000n)
  })

  it('wants a tighter bound only where the input is what stands in the way of a comfortable answer', () => {
    const wants = (inputTokens: bigint, availableNanoUsd: bigint) =>
      wantsTighterBound({ bound: boundCall(plainPrice, inputTokens), maxTokens: 128_000n, thinkingTokens: null, availableNanoUsd })
    assert.equal(wants(50_000n, 700_000_000n), true)
    assert.equal(wants(50_000n, 100_000_000n), true)
    // Enough for 16,384 tokens; too small an input to matter; nothing that any input would leave room for.
    assert.equal(wants(50_000n, 900_000_000n), false)
    assert.equal(wants(1_000n, 100_000_000n), false)
    assert.equal(wants(50_000n, 20_000_000n), false)
  })
})
