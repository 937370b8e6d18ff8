/** An answer as the wire carries it: one JSON message, or the events of a stream. */
import type { Answer, Block } from './answer.ts'
import type { MessageUsage } from './usage.ts'

export interface Envelope {
  /** `msg_…`, another one for each answer. */
  readonly id: string
  readonly model: string
  readonly answer: Answer
  readonly usage: MessageUsage
}

export interface StreamEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** Characters in one delta, unless that made more than PIECES_MAX of them. */
const PIECE_CHARS = 24
const PIECES_MAX = 200

/** The whole message as one value. */
export function toMessage({ id, model, answer, usage }: Envelope): Record<string, unknown> {
  const content = answer.blocks.map((block) => {
    if (block.type !== 'tool_use') return { ...emptyBlock(block), ...block }
    return { ...emptyBlock(block), input: block.input }
  })
  return { ...skeleton(id, model), content, stop_reason: answer.stopReason, usage }
}

/** The events of a stream in their order. */
export function* toEvents({ id, model, answer, usage }: Envelope): Generator<StreamEvent> {
  const begun = { ...usage, output_tokens: Math.min(1, usage.output_tokens) }
  yield { type: 'message_start', message: { ...skeleton(id, model), content: [], stop_reason: null, usage: begun } }
  if (answer.blocks.length === 0) yield { type: 'ping' }
  for (const [index, block] of answer.blocks.entries()) {
    yield { type: 'content_block_start', index, content_block: emptyBlock(block) }
    if (index === 0) yield { type: 'ping' }
    for (const delta of deltas(block)) yield { type: 'content_block_delta', index, delta }
    yield { type: 'content_block_stop', index }
  }
  // Cumulative, and without the split of cache writes, which only message_start carries.
  const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens } = usage
  yield {
    type: 'message_delta',
    delta: { stop_reason: answer.stopReason, stop_sequence: null, stop_details: null },
    usage: { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens },
  }
  yield { type: 'message_stop' }
}

/** One event as the bytes of a server-sent event. */
export function encodeEvent(event: StreamEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}

function skeleton(id: string, model: string): Record<string, unknown> {
  return { id, type: 'message', role: 'assistant', model, stop_sequence: null, stop_details: null }
}

function emptyBlock(block: Block): Record<string, unknown> {
  if (block.type === 'thinking') return { type: 'thinking', thinking: '', signature: '' }
  if (block.type === 'text') return { type: 'text', text: '' }
  return { type: 'tool_use', id: block.id, name: block.name, input: {} }
}

function* deltas(block: Block): Generator<Record<string, unknown>> {
  if (block.type === 'text') for (const text of pieces(block.text)) yield { type: 'text_delta', text }
  if (block.type === 'tool_use') {
    yield { type: 'input_json_delta', partial_json: '' }
    for (const piece of pieces(block.json)) yield { type: 'input_json_delta', partial_json: piece }
  }
  if (block.type === 'thinking') {
    for (const thinking of pieces(block.thinking)) yield { type: 'thinking_delta', thinking }
    yield { type: 'signature_delta', signature: block.signature }
  }
}

function pieces(text: string): string[] {
  const size = Math.max(PIECE_CHARS, Math.ceil(text.length / PIECES_MAX))
  return text.match(new RegExp(`[^]{1,${size}}`, 'gu')) ?? []
}
