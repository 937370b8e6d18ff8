/** The price tables that the gateway charges by, read from the dated files beside this one. */
import type { ProviderWire } from '@autovibe/contract'
import type { ModelPrice, PriceTable, Rates } from '@autovibe/core/budgets/prices.ts'
import { z } from 'zod'
import anthropic from './anthropic.json' with { type: 'json' }
import openai from './openai.json' with { type: 'json' }

const PicoUsd = z.string().regex(/^\d{1,18}$/)
const RatesInFile = z.object({ input: PicoUsd, cache_read: PicoUsd, cache_write_5m: PicoUsd, cache_write_1h: PicoUsd, output: PicoUsd })
const PriceFile = z.object({
  version: z.string().min(1),
  imported_from: z.string(),
  unit: z.literal('pico-US-dollars'),
  models: z.array(
    z.object({
      ids: z.array(z.string().min(1)).min(1),
      context_window_tokens: z.int().positive(),
      rates: RatesInFile,
      tiers: z.array(z.object({ above_input_tokens: z.int().positive(), rates: RatesInFile })),
      web_search: PicoUsd,
    }),
  ),
})
export type PriceFile = z.infer<typeof PriceFile>

/** Reads a price file; throws when it is not one, or names a model twice. */
export function readPriceTable(file: unknown): PriceTable {
  const { version, models } = PriceFile.parse(file)
  const byId = new Map<string, ModelPrice>()
  for (const model of models) {
    const price: ModelPrice = {
      ids: model.ids,
      contextWindowTokens: BigInt(model.context_window_tokens),
      rates: readRates(model.rates),
      tiers: model.tiers.map((tier) => ({ aboveInputTokens: BigInt(tier.above_input_tokens), rates: readRates(tier.rates) })),
      picoUsdPerWebSearch: BigInt(model.web_search),
    }
    for (const id of model.ids) {
      if (byId.has(id)) throw new Error(`the price file ${version} names ${id} twice`)
      byId.set(id, price)
    }
  }
  return { version, models: byId }
}

/** Prices of the Anthropic wire, in pico-US-dollars per token. */
export const anthropicPrices: PriceTable = readPriceTable(anthropic)
/** Prices of both OpenAI wires, in pico-US-dollars per token. */
export const openaiPrices: PriceTable = readPriceTable(openai)
/** The prices of what a provider of a wire sells. */
export const pricesOf: Readonly<Record<ProviderWire, PriceTable>> = { anthropic: anthropicPrices, openai: openaiPrices }

function readRates(rates: z.infer<typeof RatesInFile>): Rates {
  return {
    input: BigInt(rates.input),
    cacheRead: BigInt(rates.cache_read),
    cacheWrite5m: BigInt(rates.cache_write_5m),
    cacheWrite1h: BigInt(rates.cache_write_1h),
    output: BigInt(rates.output),
  }
}
