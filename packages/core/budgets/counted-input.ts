/** What the provider's own count of a request's input is worth as a bound. */
import { least } from './extremes.ts'
import { countOf, fieldsAt, isFields } from './json-values.ts'

/** The vendor calls its count an estimate that may differ "by a small amount" from what it bills: a twentieth and half a thousand tokens are on our side. */
export const COUNT_MARGIN = { oneIn: 20n, tokens: 512n } as const

/** An upper bound of the input tokens from the answer to `count_tokens`, never above the bound that is known already; null when the answer holds no figure of use. */
export function boundOfCount(answer: unknown, knownBound: bigint): bigint | null {
  if (!isFields(answer)) return null
  const counted = countOf(answer['input_tokens'])
  // No request is empty.
  if (counted === null || counted === 0n) return null
  // Where the vendor would clear old parts first, the count before that is the safe one.
  const uncleared = countOf(fieldsAt(answer, 'context_management')['original_input_tokens']) ?? 0n
  const most = uncleared > counted ? uncleared : counted
  return least(knownBound, most + most / COUNT_MARGIN.oneIn + COUNT_MARGIN.tokens)
}

/** What of a request makes its input: the fields that the vendor's `count_tokens` takes. */
const COUNTED: ReadonlySet<string> = new Set([
  'model',
  'messages',
  'system',
  'tools',
  'tool_choice',
  'thinking',
  'cache_control',
  'context_management',
  'output_config',
  'output_format',
  'mcp_servers',
  'speed',
])
/** What has no part in it. */
const NOT_COUNTED: ReadonlySet<string> = new Set([
  'max_tokens',
  'stream',
  'temperature',
  'top_k',
  'top_p',
  'stop_sequences',
  'metadata',
  'service_tier',
  'inference_geo',
  'diagnostics',
])

/** The fields to be counted; null when there is one of which it is not known whether it adds to the input. */
export function fieldsToCount(fields: Iterable<string>): string[] | null {
  const counted: string[] = []
  for (const field of fields) {
    if (COUNTED.has(field)) counted.push(field)
    else if (!NOT_COUNTED.has(field)) return null
  }
  return counted
}
