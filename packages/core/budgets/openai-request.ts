/** What both OpenAI wires share in reading a request for its money: the options with a price, the tools, and the parts of a message. */
import type { RequestSize } from './bound.ts'
import { type Fields, fieldsAt, firstOf, isAbsent, isFields } from './json-values.ts'

export interface OpenAiFacts {
  readonly model: string
  /** Null when the request names no limit. */
  readonly maxTokens: bigint | null
  readonly choices: bigint
  readonly stream: boolean
  readonly size: RequestSize
}

export type ReadOpenAiRequest =
  | { readonly kind: 'ok'; readonly facts: OpenAiFacts }
  /** Not a request that the wire allows. */
  | { readonly kind: 'invalid'; readonly message: string }
  /** Its cost has no upper bound, because of this field. */
  | { readonly kind: 'unbounded'; readonly field: string }

export const invalid = (message: string): ReadOpenAiRequest => ({ kind: 'invalid', message })

/** The limit of output at this key: null when there is none, undefined when it is no limit at all. */
export function limitAt(body: Fields, key: string): bigint | null | undefined {
  const value = body[key]
  if (isAbsent(value)) return null
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 ? BigInt(value) : undefined
}

/**
 * What a request without a limit is sent with: the most output that its model makes, as the vendor's model pages say; the first that fits counts.
 * The vendor refuses more than that, so what is not known here gets what every model takes.
 */
const OWN_LIMITS: readonly (readonly [RegExp, bigint])[] = [
  [/^gpt-[56].*-chat|^chatgpt-4o/, 16_384n],
  [/^gpt-[56]/, 128_000n],
  [/^(?:o\d|codex-mini)/, 100_000n],
  [/^gpt-4\.1/, 32_768n],
  [/^gpt-4o(?!-2024-05-13)/, 16_384n],
]
const ANY_MODELS_LIMIT = 4_096n

export const ownLimit = (model: string): bigint => OWN_LIMITS.find(([names]) => names.test(model))?.[1] ?? ANY_MODELS_LIMIT

/** The first option whose value is not known to be harmless. */
export function unboundedOption(body: Fields, harmless: Readonly<Record<string, (value: unknown) => boolean>>): string | null {
  for (const [field, isHarmless] of Object.entries(harmless)) {
    if (!isAbsent(body[field]) && !isHarmless(body[field])) return field
  }
  return longLivedCache(fieldsAt(body, 'prompt_cache_options'), 'prompt_cache_options')
}

export const never = () => false

/**
 * The tiers with the price of the table. `auto` and an absent tier are what the project at the vendor is set to, which may be a dearer one:
 * they are sent as `default`. Flex is cheaper, but a bill in it would be counted too high.
 */
export const isStandardTier = (tier: unknown): boolean => tier === 'default' || tier === 'auto'
/** True when the request must be sent with `default` spelled out. */
export const leavesTierOpen = (body: Fields): boolean => body['service_tier'] !== 'default'

/** The price lists name no price for a cache that lives longer than the default. */
function longLivedCache(fields: Fields, path: string): string | null {
  return isAbsent(fields['ttl']) || fields['ttl'] === '30m' ? null : `${path}.ttl`
}

/**
 * The most that an image is billed as. The vendor scales it to at most 10,000 patches (`original` detail) and multiplies by at most 2.46 (gpt-4.1-nano);
 * gpt-4o-mini alone multiplies by 33, to 2,833 + 8 tiles of 5,667. The multiples take no room in the context window.
 */
const imageTokens = (model: string) => (model.startsWith('gpt-4o-mini') ? 50_000 : 25_000)
const INLINE_IMAGE = /^data:image\/[\w.+-]{1,40};base64,/i

/** Tools that the caller executes: described by the caller, or by the vendor. All others call the model again by themselves, or have a price of their own. */
const CALLERS_TOOLS = new Set(['function', 'custom'])
const VENDORS_TOOLS = new Set(['local_shell', 'apply_patch'])
const TEXT_PARTS = new Set(['text', 'input_text', 'output_text', 'refusal', 'summary_text', 'reasoning_text'])

/** Walks through a request and adds up what decides its length; each step returns the field that has no bound, or null. */
export class OpenAiSurvey {
  readonly #model: string
  readonly #bodyBytes: number
  #imageBytes = 0
  #images = 0
  #fillsWindow = false
  #blocks = 0
  #tools = 0
  #vendorTools = 0

  constructor(model: string, bodyBytes: number) {
    this.#model = model
    this.#bodyBytes = bodyBytes
  }

  size(): RequestSize {
    return {
      textBytes: this.#bodyBytes - this.#imageBytes,
      images: 0,
      beyondWindowTokens: this.#images * imageTokens(this.#model),
      fillsWindow: this.#fillsWindow,
      blocks: this.#blocks,
      tools: this.#tools,
      vendorTools: this.#vendorTools,
      toolReferences: 0,
      longestToolBytes: 0,
      hasCitations: false,
    }
  }

  /** One more message or item, framed by the vendor's template. */
  countBlock(): void {
    this.#blocks++
  }

  /** Its bytes say nothing about its tokens. */
  countHidden(): void {
    this.#fillsWindow = true
  }

  /** Tools at this path; `nested` ones stand in a namespace. */
  tools(tools: unknown, path: string, nested = false): string | null {
    if (isAbsent(tools)) return null
    if (!Array.isArray(tools)) return path
    return firstOf(tools, (tool, index) => this.#tool(tool, `${path}[${index}]`, nested))
  }

  /** A text, or a list of parts; nothing else is known to be all that the vendor reads. */
  content(content: unknown, path: string): string | null {
    if (typeof content === 'string') return null
    return Array.isArray(content) ? firstOf(content, (part, index) => this.#part(part, `${path}[${index}]`)) : path
  }

  #tool(tool: unknown, path: string, nested: boolean): string | null {
    if (!isFields(tool)) return path
    const type = tool['type']
    this.#tools++
    if (typeof type !== 'string') return `${path}.type`
    if (CALLERS_TOOLS.has(type)) return null
    if (nested) return `${path}.type`
    if (type === 'namespace') return this.tools(tool['tools'], `${path}.tools`, true)
    if (type === 'tool_search') return tool['execution'] === 'client' ? null : `${path}.execution`
    if (type === 'shell') return this.#vendorTool(fieldsAt(tool, 'environment')['type'] === 'local' ? null : `${path}.environment`)
    return this.#vendorTool(VENDORS_TOOLS.has(type) ? null : `${path}.type`)
  }

  #vendorTool(unbounded: string | null): string | null {
    this.#vendorTools++
    return unbounded
  }

  #part(part: unknown, path: string): string | null {
    this.#blocks++
    if (!isFields(part)) return path
    const type = part['type']
    if (typeof type !== 'string') return `${path}.type`
    const cache = longLivedCache(fieldsAt(part, 'prompt_cache_breakpoint'), `${path}.prompt_cache_breakpoint`)
    if (cache !== null || TEXT_PARTS.has(type)) return cache
    if (type === 'image_url') return this.#image(fieldsAt(part, 'image_url')['url'], `${path}.image_url.url`)
    if (type !== 'input_image') return `${path}.type`
    // A file of the account belongs to whoever uploaded it, not to this machine.
    return isAbsent(part['file_id']) ? this.#image(part['image_url'], `${path}.image_url`) : `${path}.file_id`
  }

  /** An image within the request. One at a URL is also bounded, but would let the vendor fetch for a machine what its walls keep from it. */
  #image(url: unknown, path: string): string | null {
    if (typeof url !== 'string' || !INLINE_IMAGE.test(url)) return path
    this.#images++
    this.#imageBytes += url.length
    return null
  }
}
