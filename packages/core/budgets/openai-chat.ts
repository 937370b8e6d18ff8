/** Reads an OpenAI Chat Completions request for its money, and its answers for what they cost. */
import { type Fields, fieldsAt, firstOf, isAbsent, isEmptyList, isFields } from './json-values.ts'
import { invalid, isStandardTier, limitAt, never, type OpenAiFacts, OpenAiSurvey, type ReadOpenAiRequest, unboundedOption } from './openai-request.ts'
import { usageOfFigures } from './openai-usage.ts'
import type { UsageSoFar } from './usage.ts'

/** The vendor makes no more answers than this at once. */
const MAX_CHOICES = 128

/** Options that have a price of their own or break the limit of output, with the values that are harmless. */
const HARMLESS: Readonly<Record<string, (value: unknown) => boolean>> = {
  web_search_options: never,
  audio: never,
  modalities: (value) => Array.isArray(value) && value.every((modality) => modality === 'text'),
  // The vendor does not keep to max_completion_tokens with it, and bills what it rejects of it.
  prediction: never,
  moderation: never,
  service_tier: isStandardTier,
}

/** Reads a parsed body of so many bytes. */
export function readChatRequest(body: unknown, bodyBytes: number): ReadOpenAiRequest {
  if (!isFields(body)) return invalid('the body must be a JSON object')
  const { model, messages } = body as { model?: unknown; messages?: unknown }
  if (typeof model !== 'string' || model === '') return invalid('model: a string is required')
  if (!Array.isArray(messages)) return invalid('messages: an array is required')
  const limits = [limitAt(body, 'max_completion_tokens'), limitAt(body, 'max_tokens')]
  if (limits[0] === undefined) return invalid('max_completion_tokens: a whole number of 1 or more is required')
  if (limits[1] === undefined) return invalid('max_tokens: a whole number of 1 or more is required')
  if (limits[0] !== null && limits[1] !== null) return invalid('max_tokens and max_completion_tokens exclude each other')
  const n = body['n'] ?? 1
  if (typeof n !== 'number' || !Number.isInteger(n) || n < 1 || n > MAX_CHOICES) return invalid(`n: a whole number from 1 to ${MAX_CHOICES} is required`)
  const stream = body['stream'] ?? false
  if (typeof stream !== 'boolean') return invalid('stream: a boolean is required')
  if (!isAbsent(body['stream_options']) && !isFields(body['stream_options'])) return invalid('stream_options: an object is required')

  const survey = new OpenAiSurvey(model, bodyBytes)
  const unbounded =
    unboundedOption(body, HARMLESS) ??
    survey.tools(body['tools'], 'tools') ??
    functions(survey, body['functions']) ??
    firstOf(messages, (message, index) => readMessage(survey, message, `messages[${index}]`))
  if (unbounded !== null) return { kind: 'unbounded', field: unbounded }
  const facts: OpenAiFacts = { model, maxTokens: limits[0] ?? limits[1] ?? null, choices: BigInt(n), stream, size: survey.size() }
  return { kind: 'ok', facts }
}

/** Where the limit of output is written: where the client wrote it, else under the name that every model takes. */
export function chatLimitKey(body: Fields): 'max_tokens' | 'max_completion_tokens' {
  return isAbsent(body['max_tokens']) ? 'max_completion_tokens' : 'max_tokens'
}

/** True when the client's own stream would tell its usage. */
export const asksForUsage = (body: Fields): boolean => fieldsAt(body, 'stream_options')['include_usage'] === true

/** The usage of a whole completion (the JSON answer); `none` when it carries no figures. */
export function usageOfCompletion(completion: unknown): UsageSoFar {
  return usageOfFigures(completion, { input: 'prompt_tokens', output: 'completion_tokens', details: 'prompt_tokens_details' })
}

/** The usage after one more chunk of a stream. Only the chunk without choices is the last word; figures that come earlier may still grow. */
export function usageAfterChunk(before: UsageSoFar, chunk: unknown): UsageSoFar {
  const told = usageOfCompletion(chunk)
  if (told.completeness === 'none') return before
  return isUsageChunk(chunk) ? told : { ...told, completeness: 'input' }
}

/** The chunk that is there for its usage only. */
export function isUsageChunk(chunk: unknown): boolean {
  return isFields(chunk) && isEmptyList(chunk['choices']) && isFields(chunk['usage'])
}

/** The old form of tools. */
function functions(survey: OpenAiSurvey, list: unknown): string | null {
  if (isAbsent(list)) return null
  return Array.isArray(list)
    ? survey.tools(
        list.map(() => ({ type: 'function' })),
        'functions',
      )
    : 'functions'
}

function readMessage(survey: OpenAiSurvey, message: unknown, path: string): string | null {
  survey.countBlock()
  if (!isFields(message)) return path
  // An earlier answer in sound, which the vendor keeps.
  if (!isAbsent(message['audio'])) return `${path}.audio`
  return isAbsent(message['content']) ? null : survey.content(message['content'], `${path}.content`)
}
