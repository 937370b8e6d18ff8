/** What the Anthropic wire says was consumed, from one JSON answer or from the events of a stream, and what that costs. */
import { countOf as count, type Fields, isFields as isRecord, textOf as text } from './json-values.ts'
import { findPrice, type ModelPrice, NO_TOKENS, nanoUsdOf, type PriceTable, picoUsdOf, type Tokens, withRegionSurcharge } from './prices.ts'

/** A part of a call that is billed apart: the summary of a compaction, the words of an adviser. */
interface Extra {
  readonly model: string | null
  readonly tokens: Tokens
}

export interface WireUsage {
  readonly model: string | null
  readonly messageId: string | null
  readonly tokens: Tokens
  readonly extras: readonly Extra[]
  readonly webSearches: bigint
  /** Billed in a region that costs more. */
  readonly regionSurcharge: boolean
}

/** How far a stream has told what it costs. */
export type Completeness =
  /** Nothing is known. */
  | 'none'
  /** The input is exact, the output is not. */
  | 'input'
  /** Both are exact. */
  | 'full'

export interface UsageSoFar {
  readonly usage: WireUsage
  readonly completeness: Completeness
}

export const NO_USAGE: UsageSoFar = {
  usage: { model: null, messageId: null, tokens: NO_TOKENS, extras: [], webSearches: 0n, regionSurcharge: false },
  completeness: 'none',
}

/** The usage of a whole message (the JSON answer); `none` when it carries no figures. */
export function usageOfMessage(message: unknown): UsageSoFar {
  const started = readMessage(message)
  if (started.completeness === 'none' || !isRecord(message) || !isRecord(message['usage'])) return started
  // Without its output a message is known by half, and the half that is missing is the dear one.
  return { ...started, completeness: count(message['usage']['output_tokens']) === null ? 'input' : 'full' }
}

/** The usage after one more event of a stream. Figures of `message_delta` are cumulative: the last that is not null counts. */
export function usageAfterEvent(before: UsageSoFar, event: unknown): UsageSoFar {
  if (!isRecord(event)) return before
  if (event['type'] === 'message_start') return readMessage(event['message'])
  if (event['type'] !== 'message_delta' || before.completeness === 'none') return before
  const figures = isRecord(event['usage']) ? event['usage'] : {}
  const delta = isRecord(event['delta']) ? event['delta'] : {}
  const usage = mergeFigures(before.usage, figures)
  const ended = typeof delta['stop_reason'] === 'string' && count(figures['output_tokens']) !== null
  return { usage, completeness: ended ? 'full' : before.completeness }
}

/** The cost of a call in nano-US-dollars, rounded up once. A part on a model without a price is counted at the price of the call. */
export function costOfUsage(table: PriceTable, asked: ModelPrice, usage: WireUsage): bigint {
  const main = (usage.model === null ? undefined : findPrice(table, usage.model)) ?? asked
  let pico = picoUsdOf(main, usage.tokens, usage.webSearches)
  for (const extra of usage.extras) pico += picoUsdOf((extra.model === null ? undefined : findPrice(table, extra.model)) ?? main, extra.tokens)
  return nanoUsdOf(usage.regionSurcharge ? withRegionSurcharge(pico) : pico)
}

/** The most that a call can still cost when its output is unknown: its exact input, and all the output it may have made. */
export function costAtMost(table: PriceTable, asked: ModelPrice, usage: WireUsage, maxTokens: bigint): bigint {
  const output = usage.tokens.output > maxTokens ? usage.tokens.output : maxTokens
  return costOfUsage(table, asked, { ...usage, tokens: { ...usage.tokens, output } })
}

function readMessage(message: unknown): UsageSoFar {
  if (!isRecord(message) || !isRecord(message['usage'])) return NO_USAGE
  const figures = message['usage']
  if (count(figures['input_tokens']) === null || INPUT_FIGURES.some((name) => isBroken(figures[name]))) return NO_USAGE
  const named = { ...NO_USAGE.usage, model: text(message['model']), messageId: text(message['id']) }
  return { usage: mergeFigures(named, figures), completeness: 'input' }
}

/** Those that may be absent; one that is there and is no count says that nothing here can be trusted. */
const INPUT_FIGURES = ['cache_read_input_tokens', 'cache_creation_input_tokens']
const isBroken = (value: unknown): boolean => value !== undefined && value !== null && count(value) === null

/** Where inference runs when nobody has bound it to a region; any name beside these is one. */
const WITHOUT_SURCHARGE = new Set(['', 'global', 'not_available'])

function mergeFigures(before: WireUsage, figures: Fields): WireUsage {
  const tokens = before.tokens
  const serverTools = isRecord(figures['server_tool_use']) ? figures['server_tool_use'] : {}
  const region = text(figures['inference_geo'])
  return {
    ...before,
    tokens: {
      input: count(figures['input_tokens']) ?? tokens.input,
      cacheRead: count(figures['cache_read_input_tokens']) ?? tokens.cacheRead,
      ...cacheWrites(figures, tokens),
      output: count(figures['output_tokens']) ?? tokens.output,
    },
    extras: Array.isArray(figures['iterations']) ? extrasOf(figures['iterations']) : before.extras,
    webSearches: count(serverTools['web_search_requests']) ?? before.webSearches,
    regionSurcharge: region === null ? before.regionSurcharge : !WITHOUT_SURCHARGE.has(region),
  }
}

/** Cache writes by how long they last. What no figure splits is taken at the dearer hour, never at nothing. */
function cacheWrites(figures: Fields, before: Pick<Tokens, 'cacheWrite5m' | 'cacheWrite1h'>): Pick<Tokens, 'cacheWrite5m' | 'cacheWrite1h'> {
  const split = isRecord(figures['cache_creation']) ? figures['cache_creation'] : undefined
  const fiveMinutes = split ? (count(split['ephemeral_5m_input_tokens']) ?? 0n) : before.cacheWrite5m
  const hour = split ? (count(split['ephemeral_1h_input_tokens']) ?? 0n) : before.cacheWrite1h
  const total = count(figures['cache_creation_input_tokens'])
  if (total === null || total <= fiveMinutes + hour) return { cacheWrite5m: fiveMinutes, cacheWrite1h: hour }
  // A total that has outgrown its split: what is known to be the cheap kind stays, the rest is dear.
  return { cacheWrite5m: fiveMinutes, cacheWrite1h: total - fiveMinutes }
}

const INCLUDED_ITERATIONS = new Set(['message', 'fallback_message'])

/** Iterations that the top-level figures leave out. */
function extrasOf(iterations: readonly unknown[]): Extra[] {
  return iterations.filter(isRecord).flatMap((iteration) => {
    if (INCLUDED_ITERATIONS.has(text(iteration['type']) ?? '')) return []
    return [
      {
        model: text(iteration['model']),
        tokens: {
          input: count(iteration['input_tokens']) ?? 0n,
          cacheRead: count(iteration['cache_read_input_tokens']) ?? 0n,
          ...cacheWrites(iteration, NO_TOKENS),
          output: count(iteration['output_tokens']) ?? 0n,
        },
      },
    ]
  })
}
