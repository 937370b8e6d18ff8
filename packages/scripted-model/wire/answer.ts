/** The message that a scripted reply becomes for one request: its blocks, cut where max_tokens ends, and why it stopped. */
import { createHash } from 'node:crypto'
import type { Reply } from '../script/types.ts'
import type { MessagesRequest } from './request.ts'
import { BYTES_PER_TOKEN, countText } from './usage.ts'

export type Block =
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | { readonly type: 'text'; readonly text: string }
  /** `json` may end in the middle when the reply was cut. */
  | { readonly type: 'tool_use'; readonly id: string; readonly name: string; readonly json: string; readonly input: Readonly<Record<string, unknown>> }

export interface Answer {
  readonly blocks: readonly Block[]
  readonly stopReason: string
  readonly outputTokens: number
}

/** Fixed tokens of a tool call beside its input. */
const CALL_TOKENS = 8

/** `seed` makes the ids of tool calls: the same request gets the same ones, another request others. */
export function buildAnswer(reply: Reply, request: MessagesRequest, seed: string): Answer {
  const whole = wholeBlocks(reply, request, seed)
  const wholeTokens = sum(whole.map(({ tokens }) => tokens))
  const outputTokens = reply.usage.output ?? wholeTokens
  const stopReason = reply.stopReason ?? (reply.tools.length > 0 ? 'tool_use' : 'end_turn')
  if (outputTokens <= request.maxTokens || reply.ignoreMaxTokens) return { blocks: whole.map(({ block }) => block), stopReason, outputTokens }
  // An overridden count stands for a longer reply than the script writes out, so its text is cut in proportion.
  const keptTokens = Math.floor((wholeTokens * request.maxTokens) / outputTokens)
  return { blocks: cut(whole, keptTokens), stopReason: 'max_tokens', outputTokens: request.maxTokens }
}

interface Sized {
  readonly block: Block
  readonly tokens: number
}

function wholeBlocks(reply: Reply, request: MessagesRequest, seed: string): Sized[] {
  const sized: Sized[] = []
  if (reply.thinking !== undefined && request.thinking !== 'none') {
    const signature = createHash('sha512').update(`${seed} ${reply.thinking}`).digest('base64')
    const shown = request.thinking === 'shown' ? reply.thinking : ''
    sized.push({ block: { type: 'thinking', thinking: shown, signature }, tokens: countText(reply.thinking) })
  }
  if (reply.text !== undefined && reply.text !== '') sized.push({ block: { type: 'text', text: reply.text }, tokens: countText(reply.text) })
  for (const [index, { name, input }] of reply.tools.entries()) {
    const json = JSON.stringify(input)
    const id = `toolu_01${createHash('sha256').update(`${seed} ${index}`).digest('hex').slice(0, 22)}`
    sized.push({ block: { type: 'tool_use', id, name, json, input }, tokens: CALL_TOKENS + countText(json) })
  }
  return sized
}

/** The first `keptTokens` of the blocks; a block whose turn does not come is left out. */
function cut(whole: readonly Sized[], keptTokens: number): Block[] {
  const kept: Block[] = []
  let left = keptTokens
  for (const { block, tokens } of whole) {
    if (left <= 0) break
    kept.push(tokens <= left ? block : cutBlock(block, left))
    left -= tokens
  }
  return kept
}

function cutBlock(block: Block, tokens: number): Block {
  if (block.type === 'thinking') return { ...block, thinking: firstBytes(block.thinking, tokens) }
  if (block.type === 'text') return { ...block, text: firstBytes(block.text, tokens) }
  return { ...block, json: firstBytes(block.json, Math.max(0, tokens - CALL_TOKENS)), input: {} }
}

/** The longest start of a text that fits into the tokens without breaking a character. */
function firstBytes(text: string, tokens: number): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.from(text).subarray(0, tokens * BYTES_PER_TOKEN), { stream: true })
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
