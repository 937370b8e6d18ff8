/** What the provider of the race bills: its own price list and its own sums, which share nothing with the Hub's. */
import { between } from '../support/chance.ts'
import type { CallPlan } from './plan.ts'

/** Nano-US-dollars per token. */
const PRICES = {
  'claude-opus-5-5': { input: 4_000n, cacheRead: 200n, cacheWrite5m: 5_000n, cacheWrite1h: 8_000n, output: 20_000n },
  'claude-sonnet-5': { input: 2_000n, cacheRead: 200n, cacheWrite5m: 2_500n, cacheWrite1h: 4_000n, output: 10_000n },
} as const

/** The most that the provider's own template adds to a prompt of one message. */
const TEMPLATE_TOKENS = 256 + 16

/** A call that the provider has begun to work on, and so will be paid for. */
export interface Bill {
  readonly call: number
  readonly runId: string
  readonly messageId: string
  readonly nanoUsd: bigint
  /** It tells its figures, and they are these. */
  readonly exact: boolean
  /** The last byte of the answer is on its way. */
  answered: boolean
}

/** What the provider says of its bill at a moment. */
export interface BillSoFar {
  /** Nano-US-dollars by run. */
  readonly totals: ReadonlyMap<string, bigint>
  /** Calls that it is working on, whose answers have not ended and are still waited for. */
  readonly underWay: ReadonlyMap<number, { readonly runId: string; readonly nanoUsd: bigint }>
}

export interface Work {
  readonly tokens: { readonly input: number; readonly cacheRead: number; readonly cacheWrite5m: number; readonly cacheWrite1h: number; readonly output: number }
  /** Bound to a region, which costs a tenth more. */
  readonly inRegion: boolean
  readonly nanoUsd: bigint
}

/** The tokens of a call and their price: never more than the request allows, at times all of it. */
export function workOf(plan: CallPlan, bodyBytes: number, maxTokens: number): Work {
  const { chance, work } = plan
  const most = bodyBytes + TEMPLATE_TOKENS
  const nothing = { input: 0, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0 }
  if (work === 'all') return priced(plan, { ...nothing, cacheWrite1h: most, output: maxTokens }, true)
  const input = between(chance, 1, work === 'little' ? 40 : most)
  const rest = most - input
  const cached =
    chance() < 0.5 ? { cacheRead: between(chance, 0, rest >> 2), cacheWrite5m: between(chance, 0, rest >> 2), cacheWrite1h: between(chance, 0, rest >> 2) } : {}
  const output = between(chance, 0, work === 'little' ? Math.min(maxTokens, 60) : maxTokens)
  return priced(plan, { ...nothing, ...cached, input, output }, chance() < 0.2)
}

function priced({ model }: CallPlan, tokens: Work['tokens'], inRegion: boolean): Work {
  let nanoUsd = 0n
  for (const [kind, price] of Object.entries(PRICES[model])) nanoUsd += BigInt(tokens[kind as keyof typeof tokens]) * price
  return { tokens, inRegion, nanoUsd: inRegion ? (nanoUsd * 11n + 9n) / 10n : nanoUsd }
}
