/** What a call costs: integer pico-US-dollars per token (1 USD = 10^12 pico-USD), summed and rounded up once per call to nano-US-dollars. */

export const TOKEN_KINDS = ['input', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h', 'output'] as const
export type TokenKind = (typeof TOKEN_KINDS)[number]

/** Pico-US-dollars per token of each kind. */
export type Rates = Readonly<Record<TokenKind, bigint>>
/** Tokens of each kind, each counted once (cached input is not part of `input`). */
export type Tokens = Readonly<Record<TokenKind, bigint>>

export interface ModelPrice {
  /** Every id at which the vendor sells exactly this; nothing else matches. */
  readonly ids: readonly string[]
  /** The most input tokens the model accepts; a longer prompt is refused by the vendor and costs nothing. */
  readonly contextWindowTokens: bigint
  readonly rates: Rates
  /** Dearer rates for the whole call once its input, cached or not, is above a length; ascending. */
  readonly tiers: readonly { readonly aboveInputTokens: bigint; readonly rates: Rates }[]
  readonly picoUsdPerWebSearch: bigint
}

export interface PriceTable {
  /** Stands on every charge, so that a cost can be explained later. */
  readonly version: string
  readonly models: ReadonlyMap<string, ModelPrice>
}

export const NO_TOKENS: Tokens = { input: 0n, cacheRead: 0n, cacheWrite5m: 0n, cacheWrite1h: 0n, output: 0n }

/** The price of exactly this model id; undefined when there is none (the nearest match of a price list can be a cheaper model). */
export function findPrice(table: PriceTable, model: string): ModelPrice | undefined {
  return table.models.get(model)
}

/** All input of a call, whatever it was billed as: what the long-context tiers look at. */
export const inputTokensOf = (tokens: Tokens): bigint => tokens.input + tokens.cacheRead + tokens.cacheWrite5m + tokens.cacheWrite1h

/** The rates of a call with this much input. */
export function ratesFor(price: ModelPrice, inputTokens: bigint): Rates {
  let rates = price.rates
  for (const tier of price.tiers) if (inputTokens > tier.aboveInputTokens) rates = tier.rates
  return rates
}

/** The cost in pico-US-dollars: sum it over the parts of a call, then round once with `nanoUsdOf`. */
export function picoUsdOf(price: ModelPrice, tokens: Tokens, webSearches = 0n): bigint {
  const rates = ratesFor(price, inputTokensOf(tokens))
  let pico = webSearches * price.picoUsdPerWebSearch
  for (const kind of TOKEN_KINDS) pico += tokens[kind] * rates[kind]
  return pico
}

/** Nano-US-dollars, rounded up. */
export const nanoUsdOf = (picoUsd: bigint): bigint => (picoUsd + 999n) / 1000n

/** Inference that is bound to one region costs 1.1 times the list price. */
export const withRegionSurcharge = (picoUsd: bigint): bigint => (picoUsd * 11n + 9n) / 10n
