/** Reads an Anthropic Messages request for its money: what it asks for, how long its input can be, and whatever in it has no upper bound. */
import type { RequestSize } from './bound.ts'
import { type Fields, firstOf, isCount, isEmptyList, isFields } from './json-values.ts'

export interface RequestFacts {
  readonly model: string
  readonly maxTokens: bigint
  readonly stream: boolean
  /** `thinking.budget_tokens`; null when thinking has no budget of its own. */
  readonly thinkingTokens: bigint | null
  readonly size: RequestSize
}

export type ReadRequest =
  | { readonly kind: 'ok'; readonly facts: RequestFacts }
  /** Not a request that the wire allows. */
  | { readonly kind: 'invalid'; readonly message: string }
  /** Its cost has no upper bound, because of this field. */
  | { readonly kind: 'unbounded'; readonly field: string }

/** Reads a parsed body of so many bytes. `needsMaxTokens` is false for counting tokens, which makes no output. */
export function readRequest(body: unknown, bodyBytes: number, needsMaxTokens = true): ReadRequest {
  if (!isFields(body)) return { kind: 'invalid', message: 'the body must be a JSON object' }
  const model = body['model']
  if (typeof model !== 'string' || model === '') return { kind: 'invalid', message: 'model: a string is required' }
  const maxTokens = needsMaxTokens ? body['max_tokens'] : 0
  if (!isCount(maxTokens)) return { kind: 'invalid', message: 'max_tokens: a whole number of 0 or more is required' }
  if (!Array.isArray(body['messages'])) return { kind: 'invalid', message: 'messages: an array is required' }
  const thinking = isFields(body['thinking']) ? body['thinking']['budget_tokens'] : undefined
  if (thinking !== undefined && thinking !== null && !isCount(thinking))
    return { kind: 'invalid', message: 'thinking.budget_tokens: a whole number of 0 or more is required' }
  const stream = body['stream'] ?? false
  if (typeof stream !== 'boolean') return { kind: 'invalid', message: 'stream: a boolean is required' }

  const survey = new Survey(bodyBytes)
  const unbounded = unboundedOption(body) ?? survey.tools(body['tools']) ?? survey.system(body['system']) ?? survey.messages(body['messages'])
  if (unbounded !== null) return { kind: 'unbounded', field: unbounded }
  return {
    kind: 'ok',
    facts: { model, maxTokens: BigInt(maxTokens), stream, thinkingTokens: isCount(thinking) ? BigInt(thinking) : null, size: survey.size() },
  }
}

/** Options that have a price of their own, hide input, or let another model answer; with the values that are harmless. */
const HARMLESS: Readonly<Record<string, (value: unknown) => boolean>> = {
  mcp_servers: isEmptyList,
  fallbacks: isEmptyList,
  fallback_credit_token: () => false,
  container: () => false,
  thread: () => false,
  compaction: () => false,
  billing_policy: () => false,
  speed: (value) => value === 'standard',
  // `auto` is what the vendor does when the field is absent.
  service_tier: (value) => value === 'standard_only' || value === 'auto',
  // The surcharge of a region is part of every bound.
  inference_geo: (value) => value === 'global' || value === 'us',
}

function unboundedOption(body: Fields): string | null {
  for (const [field, harmless] of Object.entries(HARMLESS)) {
    const value = body[field]
    if (value !== undefined && value !== null && !harmless(value)) return field
  }
  const edits = isFields(body['context_management']) ? body['context_management']['edits'] : undefined
  if (Array.isArray(edits)) {
    // Clearing only shortens the input; compaction is a model call of its own.
    const index = edits.findIndex((edit) => !isFields(edit) || typeof edit['type'] !== 'string' || !edit['type'].startsWith('clear_'))
    if (index !== -1) return `context_management.edits[${index}].type`
  }
  return null
}

/** Tools that the vendor describes and the caller executes. Those that the vendor executes call the model again by themselves. */
const VENDOR_TOOL = /^(bash|text_editor|computer|memory)_\d{8}$/
const PLAIN_BLOCKS = new Set(['text', 'thinking', 'redacted_thinking', 'tool_use', 'tool_removal'])

/** Walks through a request and adds up what decides its length; each step returns the field that has no bound, or null. */
class Survey {
  readonly #bodyBytes: number
  #imageBytes = 0
  #images = 0
  #fillsWindow = false
  #blocks = 0
  #tools = 0
  #vendorTools = 0
  #toolReferences = 0
  #longestToolBytes = 0
  #hasCitations = false

  constructor(bodyBytes: number) {
    this.#bodyBytes = bodyBytes
  }

  size(): RequestSize {
    return {
      textBytes: this.#bodyBytes - this.#imageBytes,
      images: this.#images,
      beyondWindowTokens: 0,
      fillsWindow: this.#fillsWindow,
      blocks: this.#blocks,
      tools: this.#tools,
      vendorTools: this.#vendorTools,
      toolReferences: this.#toolReferences,
      longestToolBytes: this.#longestToolBytes,
      hasCitations: this.#hasCitations,
    }
  }

  tools(tools: unknown): string | null {
    if (tools === undefined || tools === null) return null
    if (!Array.isArray(tools)) return 'tools'
    return firstOf(tools, (tool, index) => this.#tool(tool, `tools[${index}]`))
  }

  system(system: unknown): string | null {
    return Array.isArray(system) ? this.#content(system, 'system') : null
  }

  messages(messages: readonly unknown[]): string | null {
    return firstOf(messages, (message, index) => {
      this.#blocks++
      return isFields(message) ? this.#content(message['content'], `messages[${index}].content`) : null
    })
  }

  #tool(tool: unknown, path: string): string | null {
    if (!isFields(tool)) return path
    const type = tool['type'] ?? 'custom'
    // Three bytes are the most that one UTF-16 unit takes in UTF-8.
    this.#longestToolBytes = Math.max(this.#longestToolBytes, JSON.stringify(tool).length * 3)
    if (type === 'custom') this.#tools++
    else if (typeof type === 'string' && VENDOR_TOOL.test(type)) this.#vendorTools++
    else return `${path}.type`
    return null
  }

  #content(content: unknown, path: string): string | null {
    if (!Array.isArray(content)) return null
    return firstOf(content, (block, index) => this.#block(block, `${path}[${index}]`))
  }

  #block(block: unknown, path: string): string | null {
    this.#blocks++
    if (!isFields(block)) return typeof block === 'string' ? null : path
    if (isFields(block['citations']) && block['citations']['enabled'] === true) this.#hasCitations = true
    const type = block['type']
    if (typeof type !== 'string') return `${path}.type`
    if (PLAIN_BLOCKS.has(type)) return null
    if (type === 'image' || type === 'document') return this.#source(type, block['source'], `${path}.source`)
    if (type === 'tool_result' || type === 'search_result') return this.#content(block['content'], `${path}.content`)
    if (type === 'tool_reference') return this.#reference()
    if (type === 'tool_addition') return this.#addition(block['tool'], `${path}.tool`)
    return `${path}.type`
  }

  #source(block: 'image' | 'document', source: unknown, path: string): string | null {
    if (!isFields(source)) return path
    if (source['type'] === 'base64' && typeof source['data'] === 'string') {
      if (block === 'document') this.#fillsWindow = true
      else {
        this.#images++
        this.#imageBytes += source['data'].length
      }
      return null
    }
    if (block === 'document' && source['type'] === 'text') return null
    if (block === 'document' && source['type'] === 'content') return this.#content(source['content'], `${path}.content`)
    return `${path}.type`
  }

  #addition(tool: unknown, path: string): string | null {
    if (isFields(tool) && tool['type'] === 'tool_definition') return this.#tool(tool['definition'], `${path}.definition`)
    if (isFields(tool) && tool['type'] === 'tool_reference') return this.#reference()
    return path
  }

  #reference(): null {
    this.#toolReferences++
    return null
  }
}
