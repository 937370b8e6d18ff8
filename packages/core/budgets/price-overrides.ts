/** A price table with prices of a project's own in it. */
import type { ModelPrice, PriceTable, Rates } from './prices.ts'

export interface PriceOverride {
  readonly model: string
  readonly contextWindowTokens: bigint
  readonly rates: Rates
}

/**
 * The table with the overrides in place of its own prices. An override holds for every id at which the vendor sells the same thing, for an answer may name another
 * of them than the call did; one that is named itself has its own. `mark` goes into the version, so that a charge tells by whose prices it was made.
 */
export function withOverrides(table: PriceTable, overrides: readonly PriceOverride[], mark: string): PriceTable {
  if (overrides.length === 0) return table
  const models = new Map(table.models)
  // An id that two of them stand for is the first one's, so that the order alone decides.
  const taken = new Set(overrides.map(({ model }) => model))
  for (const { model, contextWindowTokens, rates } of overrides) {
    const listed = table.models.get(model)
    const ids = [model, ...(listed?.ids ?? []).filter((id) => !taken.has(id))]
    const price: ModelPrice = { ids, contextWindowTokens, rates, tiers: [], picoUsdPerWebSearch: listed?.picoUsdPerWebSearch ?? 0n }
    for (const id of ids) {
      taken.add(id)
      models.set(id, price)
    }
  }
  return { version: `${table.version}+${mark}`, models }
}
