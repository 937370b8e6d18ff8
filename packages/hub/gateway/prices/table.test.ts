/** The committed prices: what must hold of every model, and what known prices are. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findPrice } from '@autovibe/core/budgets/prices.ts'
import file from './anthropic.json' with { type: 'json' }
import { anthropicPrices, openaiPrices, readPriceTable } from './table.ts'

describe('the price table', () => {
  it('prices every kind of token of every model, and no kind at nothing', () => {
    assert.ok(anthropicPrices.models.size >= 20)
    assert.ok(openaiPrices.models.size >= 70)
    for (const [id, { rates, tiers }] of [...anthropicPrices.models, ...openaiPrices.models]) {
      for (const each of [rates, ...tiers.map((tier) => tier.rates)]) for (const [kind, rate] of Object.entries(each)) assert.ok(rate > 0n, `${kind} of ${id}`)
    }
  })

  it('knows the list prices, in pico-dollars per token', () => {
    assert.deepEqual(findPrice(anthropicPrices, 'claude-opus-5-5')?.rates, {
      input: 4_000_000n,
      cacheRead: 200_000n,
      cacheWrite5m: 5_000_000n,
      cacheWrite1h: 8_000_000n,
      output: 20_000_000n,
    })
    assert.equal(findPrice(anthropicPrices, 'claude-haiku-4-5-20251001')?.rates.output, 5_000_000n)
    assert.equal(findPrice(anthropicPrices, 'claude-sonnet-4-5')?.tiers[0]?.rates.input, 6_000_000n)
    assert.deepEqual(findPrice(anthropicPrices, 'claude-opus-4-6')?.tiers, [])
  })

  it('knows the list prices of OpenAI, with cached input, writes to the cache and the long-context tier', () => {
    const terra = findPrice(openaiPrices, 'gpt-5.6-terra')
    assert.deepEqual(terra?.rates, { input: 2_000_000n, cacheRead: 200_000n, cacheWrite5m: 2_500_000n, cacheWrite1h: 2_500_000n, output: 12_000_000n })
    assert.deepEqual(
      terra?.tiers.map(({ aboveInputTokens, rates }) => [aboveInputTokens, rates.input, rates.cacheRead, rates.cacheWrite5m, rates.output]),
      [[271_999n, 4_000_000n, 400_000n, 5_000_000n, 18_000_000n]],
    )
    // Writing costs nothing more where the list has no price for it, and what has no discount is billed as input.
    assert.deepEqual(findPrice(openaiPrices, 'gpt-5')?.rates, {
      input: 1_250_000n,
      cacheRead: 125_000n,
      cacheWrite5m: 1_250_000n,
      cacheWrite1h: 1_250_000n,
      output: 10_000_000n,
    })
    assert.equal(findPrice(openaiPrices, 'o3-pro')?.rates.cacheRead, 20_000_000n)
    assert.equal(findPrice(openaiPrices, 'gpt-5-nano-2025-08-07')?.rates.output, 400_000n)
  })

  it('gives a model of OpenAI the whole of its window where the list has rounded it', () => {
    assert.ok((findPrice(openaiPrices, 'gpt-4.1')?.contextWindowTokens ?? 0n) >= 1_047_576n)
    assert.ok((findPrice(openaiPrices, 'gpt-5.5')?.contextWindowTokens ?? 0n) >= 1_050_000n)
  })

  it('has no price for models that cost more than their tokens', () => {
    for (const id of [
      'gpt-4o-search-preview',
      'gpt-4o-mini-search-preview',
      'gpt-4o-audio-preview',
      'gpt-audio',
      'gpt-image-2',
      'o3-deep-research',
      'computer-use-preview',
    ])
      assert.equal(findPrice(openaiPrices, id), undefined, id)
  })

  it('matches exact ids only', () => {
    for (const id of ['gpt-5-2026-01-01', 'gpt-5.6-terra-2026-07-30', 'gpt-5-6-terra', 'gpt', 'ft:gpt-4o-2024-08-06:me::1'])
      assert.equal(findPrice(openaiPrices, id), undefined, id)
    for (const id of ['claude-sonnet-5-5', 'claude-opus-5-5 ', 'CLAUDE-OPUS-5-5', 'claude', '__proto__', ''])
      assert.equal(findPrice(anthropicPrices, id), undefined)
  })

  it('refuses a file that names a model twice or has a price that is no whole number', () => {
    assert.throws(() => readPriceTable({ ...file, models: [...file.models, file.models[0]] }), /twice/)
    const [first] = file.models
    assert.ok(first)
    assert.throws(() => readPriceTable({ ...file, models: [{ ...first, rates: { ...first.rates, input: '1.5' } }] }))
  })
})
