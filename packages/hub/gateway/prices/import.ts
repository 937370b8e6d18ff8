/** Writes anthropic.json, our own dated table, from the price list of @pydantic/genai-prices: `node packages/hub/gateway/prices/import.ts`; look at the diff before you commit it. */
import { readFile, writeFile } from 'node:fs/promises'
import { findProvider, type ModelPrice as ListPrice, type ModelInfo, type TieredPrices } from '@pydantic/genai-prices'
import type { PriceFile } from './table.ts'

/** Dated names of the same model, as the vendor publishes them. The list's own rules match by prefix, which would price a newer, dearer model as an older one. */
const DATED_IDS: Readonly<Record<string, readonly string[]>> = {
  'claude-3-5-haiku-latest': ['claude-3-5-haiku-20241022'],
  'claude-3-7-sonnet-latest': ['claude-3-7-sonnet-20250219'],
  'claude-haiku-4-5': ['claude-haiku-4-5-20251001'],
  'claude-opus-4-0': ['claude-opus-4-20250514'],
  'claude-opus-4-1': ['claude-opus-4-1-20250805'],
  'claude-opus-4-5': ['claude-opus-4-5-20251101'],
  'claude-sonnet-4-0': ['claude-sonnet-4-20250514'],
  'claude-sonnet-4-5': ['claude-sonnet-4-5-20250929'],
}

const KINDS = {
  input: 'input_mtok',
  cache_read: 'cache_read_mtok',
  cache_write_5m: 'cache_write_mtok',
  cache_write_1h: 'cache_write_1h_mtok',
  output: 'output_mtok',
} as const
const FILE = new URL('./anthropic.json', import.meta.url)

const today = new Date().toISOString().slice(0, 10)
const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.resolve('@pydantic/genai-prices')), 'utf8')) as { version: string }
const provider = findProvider({ providerId: 'anthropic' })
if (!provider) throw new Error('the price list has no vendor anthropic')
const models = provider.models.flatMap((model) => {
  const imported = importModel(model)
  if (!imported) process.stderr.write(`left out, because a price is missing: ${model.id}\n`)
  return imported ? [imported] : []
})
const file: PriceFile = { version: `anthropic-${today}`, imported_from: `@pydantic/genai-prices ${version}`, unit: 'pico-US-dollars', models }
await writeFile(FILE, `${JSON.stringify(file, null, 2)}\n`)
process.stderr.write(`${models.length} models written as ${file.version}\n`)

function importModel(model: ModelInfo): PriceFile['models'][number] | null {
  const prices = pricesToday(model)
  const rates = ratesAt(prices, 0)
  if (!rates || model.context_window === undefined) return null
  const starts = new Set(Object.values(prices).flatMap((price) => (isTiered(price) ? price.tiers.map((tier) => tier.start) : [])))
  const tiers = [...starts]
    .sort((a, b) => a - b)
    .map((start) => {
      const tierRates = ratesAt(prices, start)
      if (!tierRates) throw new Error(`a tier of ${model.id} lacks a price`)
      return { above_input_tokens: start, rates: tierRates }
    })
  const searches = prices['web_searches_kcount']
  return {
    ids: [model.id, ...(DATED_IDS[model.id] ?? [])],
    context_window_tokens: model.context_window,
    rates,
    tiers,
    web_search: typeof searches === 'number' ? picoUsd(searches, 9) : '0',
  }
}

/** The price in force today: the last whose start date has come. */
function pricesToday(model: ModelInfo): ListPrice {
  if (!Array.isArray(model.prices)) return model.prices
  const current = model.prices.filter(({ constraint }) => {
    if (!constraint) return true
    if (constraint.type !== 'start_date') throw new Error(`${model.id} is priced by the time of day, which this table cannot say`)
    return constraint.start_date <= today
  })
  const last = current.at(-1)
  if (!last) throw new Error(`${model.id} has no price today`)
  return last.prices
}

function ratesAt(prices: ListPrice, start: number): PriceFile['models'][number]['rates'] | null {
  const rates: Partial<Record<keyof typeof KINDS, string>> = {}
  for (const [kind, name] of Object.entries(KINDS) as [keyof typeof KINDS, string][]) {
    const price = prices[name]
    if (price === undefined) return null
    const usd = isTiered(price) ? (price.tiers.findLast((tier) => tier.start <= start)?.price ?? price.base) : price
    rates[kind] = picoUsd(usd, 6)
  }
  return rates as PriceFile['models'][number]['rates']
}

function isTiered(price: number | TieredPrices | undefined): price is TieredPrices {
  return typeof price === 'object'
}

/** US-dollars for a million (or thousand) as pico-US-dollars for one: shifted by so many decimals, exactly, rounded up. */
function picoUsd(usd: number, decimals: number): string {
  const [whole = '0', fraction = ''] = usd.toString().split('.')
  if (!/^\d+$/.test(whole) || !/^\d*$/.test(fraction)) throw new Error(`not a plain decimal: ${usd}`)
  const kept = fraction.slice(0, decimals).padEnd(decimals, '0')
  const rest = fraction.slice(decimals).replaceAll('0', '')
  return (BigInt(whole + kept) + (rest === '' ? 0n : 1n)).toString()
}
