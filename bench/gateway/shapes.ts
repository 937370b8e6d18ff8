/** The two calls that are compared, with what the upstream answers to them. */
import type { FixedAnswer } from '../support/fixed-server.ts'
import { MODEL } from '../support/stage.ts'

export interface CallShape {
  readonly name: string
  readonly streamed: boolean
  readonly body: Buffer
  readonly answer: FixedAnswer
}

/** What real agents send at each step: their long instructions and the schemas of their tools. */
const AGENT_REQUEST_BYTES = 48 * 1024
const DELTAS = 40

const usage = { input_tokens: 20, output_tokens: 12 }
const message = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: MODEL,
  content: [{ type: 'text', text: 'ok' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage,
}

export const smallCall: CallShape = {
  name: 'small JSON',
  streamed: false,
  body: Buffer.from(JSON.stringify({ model: MODEL, max_tokens: 256, messages: [{ role: 'user', content: 'Say ok' }] })),
  answer: { contentType: 'application/json', pieces: [JSON.stringify(message)] },
}

export const agentCall: CallShape = {
  name: '48 KB with an SSE answer',
  streamed: true,
  body: Buffer.from(agentRequest()),
  answer: {
    contentType: 'text/event-stream; charset=utf-8',
    pieces: [
      sse('message_start', { message: { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } } }),
      sse('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      ...Array.from({ length: DELTAS }, (_, index) =>
        sse('content_block_delta', { index: 0, delta: { type: 'text_delta', text: `word ${index} of the answer ` } }),
      ),
      sse('content_block_stop', { index: 0 }),
      sse('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 160 } }),
      sse('message_stop', {}),
    ],
  },
}

function sse(type: string, more: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
}

function agentRequest(): string {
  const tool = (index: number) => ({
    name: `tool_${index}`,
    description: 'Reads, writes or runs something in the project, and says what came of it. '.repeat(20),
    input_schema: { type: 'object', properties: { path: { type: 'string', description: 'Relative to the project' } }, required: ['path'] },
  })
  const request = (filler: string) =>
    JSON.stringify({
      model: MODEL,
      max_tokens: 32_000,
      stream: true,
      system: [{ type: 'text', text: filler, cache_control: { type: 'ephemeral' } }],
      tools: Array.from({ length: 12 }, (_, index) => tool(index)),
      messages: [{ role: 'user', content: 'Make the failing test pass' }],
    })
  return request('You are a software engineer. '.repeat(2000).slice(0, AGENT_REQUEST_BYTES - request('').length))
}
