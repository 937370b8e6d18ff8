/** The two calls that are compared, and what the upstream answers to them. */
import { MODEL } from '../support/stage.ts'

export interface CallShape {
  readonly name: string
  readonly streamed: boolean
  readonly body: Buffer
}

/** What lies below the upstream's URL: streams with an event at a time, and one that does not end for long. Elsewhere calls are answered at once. */
export const PACED = '/paced'
export const FLOOD = '/flood'
export const PACE_MS = 100
export const AGENT_EVENTS = 46

/** What real agents send at each step: their long instructions, the schemas of their tools, and what they have seen so far. */
const AGENT_REQUEST_BYTES = 48_700
const SMALL_REQUEST_BYTES = 269
const SMALL_ANSWER_BYTES = 622
/** The events of a stream that are no part of its text. */
const FRAME_EVENTS = 6

const usage = { input_tokens: 20, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 12, service_tier: 'standard' }
const message = {
  id: 'msg_01AbCdEfGhIjKlMnOpQrStUv',
  type: 'message',
  role: 'assistant',
  model: MODEL,
  content: [{ type: 'text', text: 'ok' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage,
}

export const smallAnswer = filledTo(SMALL_ANSWER_BYTES, (filler) => ({ ...message, content: [{ type: 'text', text: `ok ${filler}` }] }))

export const smallCall: CallShape = {
  name: 'small JSON',
  streamed: false,
  body: Buffer.from(filledTo(SMALL_REQUEST_BYTES, (filler) => ({ model: MODEL, max_tokens: 256, messages: [{ role: 'user', content: `Say ok ${filler}` }] }))),
}

export const agentCall: CallShape = {
  name: 'agent-sized',
  streamed: true,
  body: Buffer.from(filledTo(AGENT_REQUEST_BYTES, agentRequest)),
}

/** So many events of one streamed message, as they go over the wire. */
export function agentEvents(count: number): string[] {
  return [
    sse('message_start', { message: { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } } }),
    sse('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    sse('ping', {}),
    ...Array.from({ length: count - FRAME_EVENTS }, (_, index) => deltaEvent(index)),
    sse('content_block_stop', { index: 0 }),
    sse('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 160 } }),
    sse('message_stop', {}),
  ]
}

export function deltaEvent(index: number): string {
  return sse('content_block_delta', { index: 0, delta: { type: 'text_delta', text: `word ${index} of the answer ` } })
}

function sse(type: string, more: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
}

/** The JSON text with as much filler as makes it so long. */
function filledTo(bytes: number, make: (filler: string) => object): string {
  const missing = bytes - JSON.stringify(make('')).length
  return JSON.stringify(make('You are a software engineer. '.repeat(Math.ceil(missing / 29)).slice(0, missing)))
}

function agentRequest(filler: string): object {
  const tool = (index: number) => ({
    name: `tool_${index}`,
    description: 'Reads, writes or runs something in the project, and says what came of it. '.repeat(20),
    input_schema: {
      type: 'object',
      properties: { path: { type: 'string', description: 'Relative to the project' }, lines: { type: 'integer' } },
      required: ['path'],
      additionalProperties: false,
    },
  })
  const steps = Array.from({ length: 8 }, (_, step) => [
    { role: 'assistant', content: [{ type: 'tool_use', id: `toolu_${step}`, name: `tool_${step}`, input: { path: `src/file-${step}.ts`, lines: 40 } }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: `toolu_${step}`, content: 'export const one = "1"\n'.repeat(40) }] },
  ])
  return {
    model: MODEL,
    max_tokens: 32_000,
    stream: true,
    system: [{ type: 'text', text: filler, cache_control: { type: 'ephemeral' } }],
    tools: Array.from({ length: 12 }, (_, index) => tool(index)),
    messages: [{ role: 'user', content: 'Make the failing test pass' }, ...steps.flat()],
  }
}
