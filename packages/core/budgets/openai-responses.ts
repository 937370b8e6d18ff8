/** Reads an OpenAI Responses request for its money, and its answers for what they cost. */
import { type Fields, firstOf, isAbsent, isEmptyList, isFields } from './json-values.ts'
import { invalid, isStandardTier, limitAt, never, OpenAiSurvey, type ReadOpenAiRequest, unboundedOption } from './openai-request.ts'
import { usageOfFigures } from './openai-usage.ts'
import type { UsageSoFar } from './usage.ts'

/**
 * Options that have a price of their own, hide input or call the model again, with the values that are harmless. What the vendor keeps (responses,
 * conversations, prompts) is shared by all that use the same key, so no machine may reach into it.
 */
const HARMLESS: Readonly<Record<string, (value: unknown) => boolean>> = {
  previous_response_id: never,
  conversation: never,
  prompt: never,
  background: (value) => value === false,
  // Compaction is a model call of its own.
  context_management: isEmptyList,
  moderation: never,
  service_tier: isStandardTier,
  // The mode `pro` lets several attempts run for one answer.
  reasoning: (value) => isFields(value) && (isAbsent(value['mode']) || value['mode'] === 'standard'),
  prompt_cache_options: (value) => isFields(value) && isAbsent(value['comparison_response_id']),
}

/** Items of the input that say all they are in their own bytes. */
const PLAIN_ITEMS = new Set([
  'function_call',
  'custom_tool_call',
  'tool_search_call',
  'local_shell_call',
  'local_shell_call_output',
  'shell_call',
  'shell_call_output',
  'apply_patch_call',
  'apply_patch_call_output',
])
const OUTPUT_ITEMS = new Set(['function_call_output', 'custom_tool_call_output'])
const TOOL_ITEMS = new Set(['additional_tools', 'tool_search_output'])

/** Reads a parsed body of so many bytes. */
export function readResponsesRequest(body: unknown, bodyBytes: number): ReadOpenAiRequest {
  if (!isFields(body)) return invalid('the body must be a JSON object')
  const { model, input } = body as { model?: unknown; input?: unknown }
  if (typeof model !== 'string' || model === '') return invalid('model: a string is required')
  if (!isAbsent(input) && typeof input !== 'string' && !Array.isArray(input)) return invalid('input: a string or an array is required')
  const maxTokens = limitAt(body, 'max_output_tokens')
  if (maxTokens === undefined) return invalid('max_output_tokens: a whole number of 1 or more is required')
  const stream = body['stream'] ?? false
  if (typeof stream !== 'boolean') return invalid('stream: a boolean is required')

  const survey = new OpenAiSurvey(model, bodyBytes)
  const items = Array.isArray(input) ? input : []
  const unbounded =
    unboundedOption(body, HARMLESS) ?? survey.tools(body['tools'], 'tools') ?? firstOf(items, (item, index) => readItem(survey, item, `input[${index}]`))
  if (unbounded !== null) return { kind: 'unbounded', field: unbounded }
  return { kind: 'ok', facts: { model, maxTokens, choices: 1n, stream, size: survey.size() } }
}

/** The usage of a whole response; `none` when it carries no figures. */
export function usageOfResponse(response: unknown): UsageSoFar {
  return usageOfFigures(response, { input: 'input_tokens', output: 'output_tokens', details: 'input_tokens_details' })
}

const LAST_EVENTS = new Set(['response.completed', 'response.incomplete', 'response.failed', 'response.cancelled'])
/** True for the events after which no other comes. */
export const isLastEvent = (type: string): boolean => LAST_EVENTS.has(type)

/** The usage after one more event of a stream: only the last one tells it. */
export function usageAfterResponseEvent(before: UsageSoFar, event: unknown): UsageSoFar {
  if (!isFields(event) || typeof event['type'] !== 'string' || !isLastEvent(event['type'])) return before
  const told = usageOfResponse(event['response'])
  return told.completeness === 'none' ? before : told
}

function readItem(survey: OpenAiSurvey, item: unknown, path: string): string | null {
  survey.countBlock()
  if (!isFields(item)) return path
  const type = item['type']
  if (type === 'message' || (isAbsent(type) && typeof item['role'] === 'string')) return survey.content(item['content'], `${path}.content`)
  // Without a type and a role it is a reference to something that the vendor keeps.
  if (typeof type !== 'string') return `${path}.type`
  if (PLAIN_ITEMS.has(type)) return null
  if (OUTPUT_ITEMS.has(type)) return survey.content(item['output'], `${path}.output`)
  if (TOOL_ITEMS.has(type)) return survey.tools(item['tools'], `${path}.tools`)
  return type === 'reasoning' ? readReasoning(survey, item) : `${path}.type`
}

/** Reasoning comes back sealed, or only by its id: then the vendor looks up what it holds. */
function readReasoning(survey: OpenAiSurvey, item: Fields): null {
  if (typeof item['encrypted_content'] !== 'string' || item['encrypted_content'] === '') survey.countHidden()
  return null
}
