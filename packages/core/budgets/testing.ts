/** Prices and arbitrary usage for the property tests of this room. */
import fc from 'fast-check'
import type { ModelPrice, Rates, Tokens } from './prices.ts'

const rate = fc.bigInt(0n, 100_000_000n)
const rates: fc.Arbitrary<Rates> = fc.record({ input: rate, cacheRead: rate, cacheWrite5m: rate, cacheWrite1h: rate, output: rate })

/** Any price list at all: kinds in no order, tiers that may even be cheaper. */
export const anyPrice: fc.Arbitrary<ModelPrice> = fc.record({
  ids: fc.constant(['a-model']),
  contextWindowTokens: fc.constantFrom(200_000n, 1_000_000n),
  rates,
  tiers: fc.oneof(
    fc.constant([]),
    rates.map((dear) => [{ aboveInputTokens: 200_000n, rates: dear }]),
    fc.tuple(rates, rates).map(([first, second]) => [
      { aboveInputTokens: 100_000n, rates: first },
      { aboveInputTokens: 272_000n, rates: second },
    ]),
  ),
  picoUsdPerWebSearch: fc.constant(10_000_000_000n),
})

/** Tokens of which no more than so many are input and output. */
export const tokensWithin = (inputTokens: bigint, outputTokens: bigint): fc.Arbitrary<Tokens> =>
  fc.tuple(fc.array(fc.bigInt(0n, inputTokens), { minLength: 4, maxLength: 4 }), fc.bigInt(0n, outputTokens)).map(([cuts, output]) => {
    const [a = 0n, b = 0n, c = 0n, d = 0n] = cuts.sort((x, y) => (x < y ? -1 : x > y ? 1 : 0))
    return { input: a, cacheRead: b - a, cacheWrite5m: c - b, cacheWrite1h: d - c, output }
  })

/** One model at plain prices: input 4, output 20 dollars for a million tokens. */
export const plainPrice: ModelPrice = {
  ids: ['plain'],
  contextWindowTokens: 1_000_000n,
  rates: { input: 4_000_000n, cacheRead: 200_000n, cacheWrite5m: 5_000_000n, cacheWrite1h: 8_000_000n, output: 20_000_000n },
  tiers: [],
  picoUsdPerWebSearch: 10_000_000_000n,
}
