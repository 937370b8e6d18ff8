/** What a Messages request must be: refused with the provider's own sentences, accepted with every field that we do not know. */
import { blocks, isObject, type Json, type Message } from './blocks.ts'
import { checkConversation } from './conversation.ts'
import { invalid } from './errors.ts'

export interface MessagesRequest {
  readonly model: string
  readonly maxTokens: number
  readonly messages: readonly Message[]
  readonly system: readonly Json[]
  readonly tools: readonly Json[]
  readonly stream: boolean
  /** How thinking is shown: not at all, as a signature alone, or as text. */
  readonly thinking: 'none' | 'omitted' | 'shown'
  /** The breakpoint of the whole request (`cache_control` at the top). */
  readonly cacheControl: unknown
}

const BREAKPOINTS_MAX = 4
const THINKING_TOKENS_MIN = 1024

/** Throws a 400 in the provider's form. `counting` is the request of count_tokens, which has no max_tokens. */
export function parseRequest(body: unknown, counting = false): MessagesRequest {
  if (!isObject(body)) throw invalid('Input should be a valid dictionary')
  for (const key of counting ? ['model', 'messages'] : ['model', 'max_tokens', 'messages']) if (body[key] === undefined) throw invalid(`${key}: Field required`)
  const { model, stream = false } = body
  if (typeof model !== 'string' || model === '') throw invalid('model: Input should be a valid string')
  if (typeof stream !== 'boolean') throw invalid('stream: Input should be a valid boolean')
  const maxTokens = counting ? 0 : wholeNumber(body['max_tokens'], 'max_tokens')
  const messages = parseMessages(body['messages'])
  checkConversation(messages)
  const request: MessagesRequest = {
    model,
    maxTokens,
    messages,
    system: blocksOf(body['system'] ?? [], 'system'),
    tools: parseTools(body['tools'] ?? []),
    stream,
    thinking: parseThinking(body['thinking'], maxTokens, counting),
    cacheControl: body['cache_control'],
  }
  checkBreakpoints(request)
  return request
}

function parseMessages(value: unknown): Message[] {
  if (!Array.isArray(value)) throw invalid('messages: Input should be a valid list')
  if (value.length === 0) throw invalid('messages: at least one message is required')
  return value.map((message: unknown, index) => {
    const at = `messages.${index}`
    if (!isObject(message)) throw invalid(`${at}: Input should be a valid dictionary`)
    const { role, content } = message
    if (role === undefined) throw invalid(`${at}.role: Field required`)
    if (role !== 'user' && role !== 'assistant' && role !== 'system') throw invalid(`${at}.role: Input should be 'user', 'assistant' or 'system'`)
    if (content === undefined) throw invalid(`${at}.content: Field required`)
    if (typeof content === 'string') {
      if (content === '') throw invalid(`${at}: messages must have non-empty content`)
      return { role, content }
    }
    const list = blocksOf(content, `${at}.content`)
    if (list.length === 0) throw invalid(`${at}: messages must have non-empty content`)
    return { role, content: list }
  })
}

function blocksOf(content: unknown, at: string): readonly Json[] {
  if (typeof content === 'string') return blocks(content)
  if (!Array.isArray(content)) throw invalid(`${at}: Input should be a valid string or list`)
  for (const [index, block] of content.entries()) {
    if (!isObject(block)) throw invalid(`${at}.${index}: Input should be a valid dictionary`)
    const { type, text } = block
    if (typeof type !== 'string') throw invalid(`${at}.${index}.type: Field required`)
    if (type !== 'text') continue
    if (typeof text !== 'string') throw invalid(`${at}.${index}.text.text: Field required`)
    if (text === '') throw invalid(`${at}.${index}: text content blocks must be non-empty`)
  }
  return content
}

function parseTools(value: unknown): readonly Json[] {
  if (!Array.isArray(value)) throw invalid('tools: Input should be a valid list')
  const names = new Set<string>()
  for (const [index, tool] of value.entries()) {
    if (!isObject(tool)) throw invalid(`tools.${index}: Input should be a valid dictionary`)
    const { name } = tool
    if (typeof name !== 'string' || name === '') throw invalid(`tools.${index}.name: Field required`)
    if (names.has(name)) throw invalid('tools: Tool names must be unique.')
    names.add(name)
  }
  return value
}

function parseThinking(value: unknown, maxTokens: number, counting: boolean): MessagesRequest['thinking'] {
  if (value === undefined || value === null) return 'none'
  if (!isObject(value) || typeof value['type'] !== 'string') throw invalid('thinking.type: Field required')
  const { type, display } = value
  if (!['enabled', 'disabled', 'adaptive', 'between_tools'].includes(type as string))
    throw invalid('thinking: Input tag does not match any of the expected tags')
  if (type === 'enabled') {
    const budgetTokens = wholeNumber(value['budget_tokens'], 'thinking.enabled.budget_tokens')
    if (budgetTokens < THINKING_TOKENS_MIN) throw invalid(`thinking.enabled.budget_tokens: Input should be greater than or equal to ${THINKING_TOKENS_MIN}`)
    if (!counting && budgetTokens >= maxTokens) throw invalid('`max_tokens` must be greater than `thinking.budget_tokens`.')
  }
  if (type === 'disabled') return 'none'
  return display === 'omitted' ? 'omitted' : 'shown'
}

function wholeNumber(value: unknown, at: string): number {
  if (value === undefined) throw invalid(`${at}: Field required`)
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw invalid(`${at}: Input should be a valid integer`)
  if (value < 0) throw invalid(`${at}: Input should be greater than or equal to 0`)
  return value
}

function checkBreakpoints({ tools, system, messages, cacheControl }: MessagesRequest): void {
  const all = [...tools, ...system, ...messages.flatMap(({ content }) => blocks(content))]
  const count = all.filter((block) => isObject(block['cache_control'])).length + (isObject(cacheControl) ? 1 : 0)
  if (count > BREAKPOINTS_MAX) throw invalid(`A maximum of ${BREAKPOINTS_MAX} blocks with cache_control may be provided. Found ${count}.`)
}
