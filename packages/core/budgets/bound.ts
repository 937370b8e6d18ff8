/** The most a call can cost before it is made: an upper bound of its input at the dearest input rate, plus `max_tokens` at the output rate. */
import { greatest, least } from './extremes.ts'
import { type ModelPrice, nanoUsdOf, TOKEN_KINDS, type TokenKind, withRegionSurcharge } from './prices.ts'

/** What of a request decides how long its input can be; read from the request by its wire. */
export interface RequestSize {
  /** Bytes of the body without the data of its images. Every token of a byte-level vocabulary stands for at least one byte. */
  readonly textBytes: number
  readonly images: number
  /** The most tokens that are billed without taking room in the context window, so that it does not bound them. */
  readonly beyondWindowTokens: number
  /** Something whose bytes say nothing about its tokens (a PDF, a packed file): only the context window bounds it. */
  readonly fillsWindow: boolean
  /** Messages and content blocks, each framed by the vendor's template. */
  readonly blocks: number
  /** Tools that the caller describes. */
  readonly tools: number
  /** Tools that the vendor describes (`bash_…`, `computer_…`): few bytes here, a page of prompt there. */
  readonly vendorTools: number
  /** References that repeat a tool's description in the prompt, and the bytes of the longest description. */
  readonly toolReferences: number
  readonly longestToolBytes: number
  /** Citations make the vendor cut documents into numbered pieces. */
  readonly hasCitations: boolean
}

/**
 * Tokens that a vendor adds around what was sent. Generous: Anthropic publishes 313-804 for the use of any tool, 245-735 for a vendor tool,
 * and at most 4,784 for an image after it has been scaled down; OpenAI publishes 3-4 for a message and about a dozen for a tool.
 */
export const ALLOWANCE = { request: 256, toolUse: 1_024, block: 16, tool: 128, vendorTool: 8_000, image: 8_000 } as const

/** No model on sale takes more input. */
const LONGEST_WINDOW_TOKENS = 1_000_000n

/** An upper bound of the input tokens of a request, cached or not. */
export function boundInputTokens(size: RequestSize, price: ModelPrice): bigint {
  const window = windowOf(price)
  const beyond = BigInt(size.beyondWindowTokens)
  if (size.fillsWindow) return window + beyond
  const text = size.textBytes * (size.hasCitations ? 2 : 1) + size.toolReferences * (size.longestToolBytes + ALLOWANCE.tool)
  const toolUse = size.tools + size.vendorTools > 0 ? ALLOWANCE.toolUse : 0
  const template = ALLOWANCE.request + toolUse + size.blocks * ALLOWANCE.block + size.tools * ALLOWANCE.tool + size.vendorTools * ALLOWANCE.vendorTool
  const tokens = BigInt(text + template + size.images * ALLOWANCE.image)
  return least(window, tokens) + beyond
}

/** A price list that names a dearer tier at the end of the window says that the window is longer on request. */
function windowOf(price: ModelPrice): bigint {
  const lastTier = price.tiers.at(-1)
  return lastTier && lastTier.aboveInputTokens >= price.contextWindowTokens ? LONGEST_WINDOW_TOKENS : price.contextWindowTokens
}

const INPUT_KINDS = TOKEN_KINDS.filter((kind) => kind !== 'output')

/** The bound of one call, split so that the affordable `max_tokens` can be solved for. */
export interface CallBound {
  readonly inputTokens: bigint
  readonly inputPicoUsd: bigint
  readonly outputPicoUsdPerToken: bigint
}

/**
 * The bound of a call with at most so much input, whatever share of it is read from or written to a cache, and in whatever region it runs
 * (a workspace may have a default region that the request does not show). With several `choices`, a token of output is a token of each of them.
 */
export function boundCall(price: ModelPrice, inputTokens: bigint, choices = 1n): CallBound {
  const tiers = price.tiers.filter((tier) => inputTokens > tier.aboveInputTokens).map((tier) => tier.rates)
  const dearest = (kinds: readonly TokenKind[]) => greatest(0n, ...[price.rates, ...tiers].flatMap((rates) => kinds.map((kind) => rates[kind])))
  return {
    inputTokens,
    inputPicoUsd: withRegionSurcharge(inputTokens * dearest(INPUT_KINDS)),
    outputPicoUsdPerToken: withRegionSurcharge(choices * dearest(['output'])),
  }
}

/** Nano-US-dollars that a call within this bound costs at most. */
export function boundNanoUsd(bound: CallBound, maxTokens: bigint): bigint {
  return nanoUsdOf(bound.inputPicoUsd + maxTokens * bound.outputPicoUsdPerToken)
}
