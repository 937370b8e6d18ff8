/** Token figures of a call: computed from sizes, so that the same calls in the same order always cost the same. */
import { createHash } from 'node:crypto'
import type { UsageOverride } from '../script/types.ts'
import { blocks, isObject, type Json } from './blocks.ts'
import type { MessagesRequest } from './request.ts'

/** English text and JSON come to about 4 bytes a token. */
export const BYTES_PER_TOKEN = 4
/** What the provider's own template adds to each request. */
const TEMPLATE_TOKENS = 3
/** A shorter prefix is not cached, as with the provider. */
const CACHED_TOKENS_MIN = 1024
/** How many blocks before a breakpoint are looked at for an older prefix, as with the provider. */
const LOOK_BACK_BLOCKS = 20
/** The oldest prefixes are forgotten beyond this. */
const PREFIXES_MAX = 10_000

export interface MessageUsage {
  readonly input_tokens: number
  readonly cache_creation_input_tokens: number
  readonly cache_read_input_tokens: number
  readonly cache_creation: { readonly ephemeral_5m_input_tokens: number; readonly ephemeral_1h_input_tokens: number }
  readonly output_tokens: number
  readonly service_tier: 'standard'
}

interface Position {
  /** Names the request's text up to here, and the model. */
  readonly prefix: string
  /** Tokens from the start up to here. */
  readonly tokens: number
  readonly breakpoint: '5m' | '1h' | undefined
}

/** All input tokens of a request, cached or not. */
export function countInput(request: MessagesRequest): number {
  return (positions(request).at(-1)?.tokens ?? 0) + TEMPLATE_TOKENS
}

/** The tokens of a text or of a value's JSON, at least 1. */
export function countText(text: string): number {
  return Math.max(1, Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN))
}

/** Remembers the prefixes that breakpoints have written; each is paid for once as a write and later as a read. */
export class PromptCache {
  readonly #written = new Set<string>()

  /** The input side of a call's usage; writes the request's prefixes. */
  account(request: MessagesRequest, override: UsageOverride, outputTokens: number): MessageUsage {
    const all = positions(request)
    const marked = all.flatMap((position, at) => (position.breakpoint === undefined || position.tokens < CACHED_TOKENS_MIN ? [] : [{ ...position, at }]))
    const read = Math.max(0, ...marked.map(({ at }) => this.#longestKnown(all, at)))
    const writes = { '5m': 0, '1h': 0 }
    let reached = read
    for (const { breakpoint, tokens, prefix } of marked) {
      this.#remember(prefix)
      if (tokens <= reached) continue
      writes[breakpoint ?? '5m'] += tokens - reached
      reached = tokens
    }
    const rest = (all.at(-1)?.tokens ?? 0) + TEMPLATE_TOKENS - reached
    const write5m = override.cacheWrite5m ?? writes['5m']
    const write1h = override.cacheWrite1h ?? writes['1h']
    return {
      input_tokens: override.input ?? rest,
      cache_creation_input_tokens: write5m + write1h,
      cache_read_input_tokens: override.cacheRead ?? read,
      cache_creation: { ephemeral_5m_input_tokens: write5m, ephemeral_1h_input_tokens: write1h },
      output_tokens: outputTokens,
      service_tier: 'standard',
    }
  }

  #longestKnown(all: readonly Position[], at: number): number {
    for (let index = at; index >= Math.max(0, at - LOOK_BACK_BLOCKS); index--) {
      const position = all[index]
      if (position !== undefined && this.#written.has(position.prefix)) return position.tokens
    }
    return 0
  }

  #remember(prefix: string): void {
    this.#written.delete(prefix)
    this.#written.add(prefix)
    const oldest = this.#written.size > PREFIXES_MAX ? this.#written.values().next().value : undefined
    if (oldest !== undefined) this.#written.delete(oldest)
  }
}

/** The request's blocks in the order in which the provider caches them: tools, system, messages. */
function positions(request: MessagesRequest): Position[] {
  const listed: { readonly role: string; readonly block: Json }[] = [
    ...request.tools.map((block) => ({ role: 'tools', block })),
    ...request.system.map((block) => ({ role: 'system', block })),
    ...request.messages.flatMap(({ role, content }) => blocks(content).map((block) => ({ role, block }))),
  ]
  const hash = createHash('sha256').update(request.model)
  let bytes = 0
  return listed.map(({ role, block: { cache_control: control, ...block } }, index) => {
    const json = JSON.stringify(block)
    bytes += Buffer.byteLength(json)
    hash.update(`\n${role} ${json}`)
    const whole = index === listed.length - 1 ? request.cacheControl : undefined
    return { prefix: hash.copy().digest('base64url'), tokens: Math.ceil(bytes / BYTES_PER_TOKEN), breakpoint: ttl(control) ?? ttl(whole) }
  })
}

function ttl(control: unknown): Position['breakpoint'] {
  if (!isObject(control)) return undefined
  return control['ttl'] === '1h' ? '1h' : '5m'
}
