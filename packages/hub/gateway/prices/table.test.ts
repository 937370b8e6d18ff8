/** The committed prices: what must hold of every model, and what known prices are. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findPrice } from '@autovibe/core/budgets/prices.ts'
import file from './anthropic.json' with { type: 'json' }
import { anthropicPrices, readPriceTable } from './table.ts'

describe('the price table', () => {
  it('prices every kind of token of every model, and no kind at nothing', () => {
    assert.ok(anthropicPrices.models.size >= 20)
    for (const [id, { rates, tiers }] of anthropicPrices.models) {
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

  it('matches exact ids only', () => {
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
