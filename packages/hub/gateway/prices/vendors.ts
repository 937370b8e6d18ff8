/** What the import needs to know of each vendor beside the price list: the exact ids it sells under, and where the list says nothing. */
import type { ModelInfo } from '@pydantic/genai-prices'

export interface Vendor {
  readonly name: 'anthropic' | 'openai'
  /** The exact ids of a model of the list; none leaves it out. */
  idsOf(model: ModelInfo): readonly string[]
  /** What a kind of token costs when the list names no price for it. */
  readonly pricedAs: Readonly<Partial<Record<string, string>>>
  /** The context window in tokens, from the one that the list names. */
  windowOf(listedTokens: number): number
}

/** Dated names of the same model, as the vendor publishes them. The list's own rules match by prefix, which would price a newer, dearer model as an older one. */
const ANTHROPIC_DATED_IDS: Readonly<Record<string, readonly string[]>> = {
  'claude-3-5-haiku-latest': ['claude-3-5-haiku-20241022'],
  'claude-3-7-sonnet-latest': ['claude-3-7-sonnet-20250219'],
  'claude-haiku-4-5': ['claude-haiku-4-5-20251001'],
  'claude-opus-4-0': ['claude-opus-4-20250514'],
  'claude-opus-4-1': ['claude-opus-4-1-20250805'],
  'claude-opus-4-5': ['claude-opus-4-5-20251101'],
  'claude-sonnet-4-0': ['claude-sonnet-4-20250514'],
  'claude-sonnet-4-5': ['claude-sonnet-4-5-20250929'],
}

/**
 * Text models by the names in the vendor's own types (openai 7.57.0, `ResponsesModel`), and the Codex and dated ones that the list names. Left out: those with sound, pictures or a search of their own
 * (their answers cost more than their tokens), and those that the list does not price exactly.
 */
const OPENAI_IDS: ReadonlySet<string> = new Set([
  ...['gpt-6-astra', 'gpt-6-sol', 'gpt-6-luna', 'gpt-5.6-sol', 'gpt-5.6-terra', 'gpt-5.6-luna'],
  ...['gpt-5.5', 'gpt-5.5-2026-04-23', 'gpt-5.5-pro', 'gpt-5.5-pro-2026-04-23'],
  ...['gpt-5.4', 'gpt-5.4-mini', 'gpt-5.4-mini-2026-03-17', 'gpt-5.4-nano', 'gpt-5.4-nano-2026-03-17'],
  ...['gpt-5.4-2026-03-05', 'gpt-5.4-pro', 'gpt-5.4-pro-2026-03-05', 'gpt-5.3-chat-latest', 'gpt-5.3-codex', 'gpt-5.2-codex'],
  ...['gpt-5.2', 'gpt-5.2-2025-12-11', 'gpt-5.2-chat-latest', 'gpt-5.2-pro', 'gpt-5.2-pro-2025-12-11'],
  ...['gpt-5.1', 'gpt-5.1-2025-11-13', 'gpt-5.1-codex', 'gpt-5.1-codex-max', 'gpt-5.1-codex-mini', 'gpt-5.1-mini', 'gpt-5.1-chat-latest'],
  ...['gpt-5', 'gpt-5-2025-08-07', 'gpt-5-chat-latest', 'gpt-5-codex', 'gpt-5-mini', 'gpt-5-mini-2025-08-07', 'gpt-5-nano', 'gpt-5-nano-2025-08-07'],
  ...['gpt-5-pro', 'gpt-5-pro-2025-10-06', 'codex-mini-latest'],
  ...['gpt-4.1', 'gpt-4.1-2025-04-14', 'gpt-4.1-mini', 'gpt-4.1-mini-2025-04-14', 'gpt-4.1-nano', 'gpt-4.1-nano-2025-04-14'],
  ...['o4-mini', 'o4-mini-2025-04-16', 'o3', 'o3-2025-04-16', 'o3-pro', 'o3-pro-2025-06-10', 'o3-mini', 'o3-mini-2025-01-31'],
  ...['o1', 'o1-2024-12-17', 'o1-pro', 'o1-pro-2025-03-19'],
  ...['gpt-4o', 'gpt-4o-2024-11-20', 'gpt-4o-2024-08-06', 'gpt-4o-2024-05-13', 'chatgpt-4o-latest', 'gpt-4o-mini', 'gpt-4o-mini-2024-07-18'],
  ...['gpt-4-turbo', 'gpt-4-turbo-2024-04-09', 'gpt-4-turbo-preview', 'gpt-4-0125-preview', 'gpt-4-1106-preview', 'gpt-4', 'gpt-4-0613'],
  ...['gpt-3.5-turbo', 'gpt-3.5-turbo-0125', 'gpt-3.5-turbo-1106'],
])

/** Dated names that the list has only as a pattern. */
const OPENAI_DATED_IDS: Readonly<Record<string, readonly string[]>> = { 'gpt-5-nano': ['gpt-5-nano-2025-08-07'] }

/** Names that the list itself calls the same model, exactly and not by a pattern. */
function namesInList({ id, match }: ModelInfo): string[] {
  const clauses = 'or' in match ? match.or : [match]
  return [...new Set([id, ...clauses.flatMap((clause) => ('equals' in clause ? [clause.equals] : []))])]
}

export const VENDORS: readonly Vendor[] = [
  {
    name: 'anthropic',
    idsOf: (model) => [model.id, ...(ANTHROPIC_DATED_IDS[model.id] ?? [])],
    pricedAs: {},
    windowOf: (tokens) => tokens,
  },
  {
    name: 'openai',
    idsOf: (model) => [...namesInList(model), ...(OPENAI_DATED_IDS[model.id] ?? [])].filter((name) => OPENAI_IDS.has(name)),
    // A model without a discount bills cached input as input, and one without a price for writing to the cache writes for nothing more.
    pricedAs: { cache_read_mtok: 'input_mtok', cache_write_mtok: 'input_mtok', cache_write_1h_mtok: 'cache_write_mtok' },
    // The list rounds (1,000,000 for 1,047,576), and a window that is too small would be a bound that does not hold.
    windowOf: (tokens) => Math.ceil(tokens * 1.05),
  },
]
