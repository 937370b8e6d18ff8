/** Reads the figures of the OpenAI wires, which count cached input within the input and reasoning within the output. */

import { greatest, least } from './extremes.ts'
import { countOf, fieldsAt, isAbsent, isFields, textOf } from './json-values.ts'
import type { Tokens } from './prices.ts'
import { NO_USAGE, type UsageSoFar } from './usage.ts'

/** What a wire calls its figures. */
interface FigureNames {
  readonly input: string
  readonly output: string
  readonly details: string
}

const PARTS = ['cached_tokens', 'cache_write_tokens']

/** The usage of an answer that carries `usage` with both its figures; `none` otherwise. */
export function usageOfFigures(answer: unknown, names: FigureNames): UsageSoFar {
  if (!isFields(answer)) return NO_USAGE
  const figures = fieldsAt(answer, 'usage')
  const input = countOf(figures[names.input])
  const output = countOf(figures[names.output])
  if (input === null || output === null) return NO_USAGE
  const details = fieldsAt(figures, names.details)
  // A part that is there and is no count says that nothing here can be trusted.
  if (PARTS.some((part) => !isAbsent(details[part]) && countOf(details[part]) === null)) return NO_USAGE
  // A total that says more than its parts is believed: some vendors leave reasoning out of the output.
  const total = countOf(figures['total_tokens']) ?? 0n
  return {
    usage: {
      ...NO_USAGE.usage,
      model: textOf(answer['model']),
      messageId: textOf(answer['id']),
      tokens: {
        ...inputTokens(input, countOf(details['cached_tokens']) ?? 0n, countOf(details['cache_write_tokens']) ?? 0n),
        output: greatest(output, total - input),
      },
    },
    completeness: 'full',
  }
}

/** Splits the input so that each token counts once. Parts that contradict the whole give no discount. */
function inputTokens(input: bigint, cached: bigint, written: bigint): Omit<Tokens, 'output'> {
  const cacheWrite5m = least(written, input)
  const cacheRead = cached + cacheWrite5m > input ? 0n : cached
  return { input: input - cacheRead - cacheWrite5m, cacheRead, cacheWrite5m, cacheWrite1h: 0n }
}
