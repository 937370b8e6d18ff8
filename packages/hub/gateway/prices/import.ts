/** Writes our own dated tables from the price list of @pydantic/genai-prices: `node packages/hub/gateway/prices/import.ts [VENDOR…]`; look at the diff before you commit it. */
import { readFile, writeFile } from 'node:fs/promises'
import { findProvider, type ModelPrice as ListPrice, type ModelInfo, type TieredPrices } from '@pydantic/genai-prices'
import type { PriceFile } from './table.ts'
import { VENDORS, type Vendor } from './vendors.ts'

const KINDS = {
  input: 'input_mtok',
  cache_read: 'cache_read_mtok',
  cache_write_5m: 'cache_write_mtok',
  cache_write_1h: 'cache_write_1h_mtok',
  output: 'output_mtok',
} as const

const today = new Date().toISOString().slice(0, 10)
const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.resolve('@pydantic/genai-prices')), 'utf8')) as { version: string }
const asked = process.argv.slice(2)
for (const vendor of VENDORS) if (asked.length === 0 || asked.includes(vendor.name)) await importVendor(vendor)

async function importVendor(vendor: Vendor): Promise<void> {
  const provider = findProvider({ providerId: vendor.name })
  if (!provider) throw new Error(`the price list has no vendor ${vendor.name}`)
  const models = provider.models.flatMap((model) => {
    const ids = vendor.idsOf(model)
    const imported = ids.length === 0 ? null : importModel(vendor, model, ids)
    if (!imported) process.stderr.write(`left out, because a price or an exact id is missing: ${model.id}\n`)
    return imported ? [imported] : []
  })
  const file: PriceFile = { version: `${vendor.name}-${today}`, imported_from: `@pydantic/genai-prices ${version}`, unit: 'pico-US-dollars', models }
  await writeFile(new URL(`./${vendor.name}.json`, import.meta.url), `${JSON.stringify(file, null, 2)}\n`)
  process.stderr.write(`${models.length} models written as ${file.version}\n`)
}

function importModel(vendor: Vendor, model: ModelInfo, ids: readonly string[]): PriceFile['models'][number] | null {
  const prices = completed(pricesToday(model), vendor.pricedAs)
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
    ids: [...ids],
    context_window_tokens: vendor.windowOf(model.context_window),
    rates,
    tiers,
    web_search: typeof searches === 'number' ? picoUsd(searches, 9) : '0',
  }
}

/** The prices with those that are missing taken from the kind that they are billed as; in this order, so that one may follow another. */
function completed(prices: ListPrice, pricedAs: Vendor['pricedAs']): ListPrice {
  const all = { ...prices }
  for (const [kind, other] of Object.entries(pricedAs)) if (other !== undefined) all[kind] ??= all[other]
  return all
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
