/** How much output a call may ask for: what it wants, lowered to what is affordable, never below what is of use. */
import { boundNanoUsd, type CallBound } from './bound.ts'
import { greatest, least } from './extremes.ts'

/** Below this an answer is of no use to an agent, and refusing is kinder than a stump. */
export const FLOOR_TOKENS = 1024n
/** Enough for nearly every step: above it a call leaves half of what is there to the calls beside it. */
export const COMFORT_TOKENS = 16_384n

export interface ClampQuestion {
  readonly bound: CallBound
  readonly maxTokens: bigint
  /** `thinking.budget_tokens`, which must stay below `max_tokens`; null when thinking has no budget of its own. */
  readonly thinkingTokens: bigint | null
  readonly availableNanoUsd: bigint
}

export type ClampAnswer =
  | { readonly fits: true; readonly maxTokens: bigint; readonly holdNanoUsd: bigint; readonly clamped: boolean }
  /** `holdNanoUsd` is what the smallest useful call would have to hold. */
  | { readonly fits: false; readonly floorTokens: bigint; readonly holdNanoUsd: bigint }

/** Decides the `max_tokens` of a call; the hold of an answer that fits is at most what is available. */
export function clamp(question: ClampQuestion): ClampAnswer {
  const { bound, maxTokens, availableNanoUsd } = question
  const floorTokens = floorOf(maxTokens, question.thinkingTokens)
  const affordable = affordableTokens(bound, availableNanoUsd)
  if (affordable === null || affordable < floorTokens) return { fits: false, floorTokens, holdNanoUsd: boundNanoUsd(bound, floorTokens) }
  const modest = affordableTokens(bound, availableNanoUsd / 2n) ?? 0n
  const roomy = greatest(modest, COMFORT_TOKENS, floorTokens)
  const granted = least(maxTokens, roomy, affordable)
  return { fits: true, maxTokens: granted, holdNanoUsd: boundNanoUsd(bound, granted), clamped: granted < maxTokens }
}

/**
 * True when a tighter bound of the input is worth asking for: this one leaves no comfortable answer, takes as much as a useful one costs, and one would be
 * affordable if the input cost nothing.
 */
export function wantsTighterBound(question: ClampQuestion): boolean {
  const { bound, maxTokens } = question
  const answer = clamp(question)
  if (answer.fits && answer.maxTokens >= least(maxTokens, COMFORT_TOKENS)) return false
  if (bound.inputPicoUsd < FLOOR_TOKENS * bound.outputPicoUsdPerToken) return false
  return clamp({ ...question, bound: { ...bound, inputPicoUsd: 0n } }).fits
}

function floorOf(maxTokens: bigint, thinkingTokens: bigint | null): bigint {
  return least(maxTokens, (thinkingTokens ?? 0n) + FLOOR_TOKENS)
}

/** The most output whose bound is within the amount; null when not even the input is. Output that costs nothing is bounded by the caller's wish alone. */
function affordableTokens(bound: CallBound, nanoUsd: bigint): bigint | null {
  const leftPicoUsd = nanoUsd * 1000n - bound.inputPicoUsd
  if (leftPicoUsd < 0n) return null
  return bound.outputPicoUsdPerToken === 0n ? 2n ** 62n : leftPicoUsd / bound.outputPicoUsdPerToken
}
