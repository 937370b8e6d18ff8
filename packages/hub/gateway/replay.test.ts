/** Whole answers of the vendors through the gateway: the client gets every byte of them, however they come, and the ledger their exact cost. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ask, USD } from './test-calls.ts'
import { recorded, replay, SPLITS } from './test-recorded.ts'
import { openTestGateway } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

type Splits = keyof typeof SPLITS
const splits = Object.keys(SPLITS) as Splits[]

interface Replay {
  readonly what: string
  readonly wire: 'anthropic' | 'openai'
  readonly path: string
  readonly body: Record<string, unknown>
  readonly answer: string
  /** What the client gets, where it is not the answer itself. */
  readonly gets?: string
  readonly model: string
  /** Nano-US-dollars, added up by hand from the figures of the answer and the vendor's list prices. */
  readonly cost: bigint
  readonly tokens: Record<string, string>
  readonly messageId: string
  readonly quality?: 'estimated'
}

const counts = (input: number, cacheRead: number, cacheWrite5m: number, cacheWrite1h: number, output: number) => ({
  input: `${input}`,
  cache_read: `${cacheRead}`,
  cache_write_5m: `${cacheWrite5m}`,
  cache_write_1h: `${cacheWrite1h}`,
  output: `${output}`,
})
const chat = { model: 'gpt-5', max_completion_tokens: 4_000, messages: [{ role: 'user', content: 'hi' }], stream: true }
const two = { ...chat, model: 'gpt-5-mini', n: 2 }
const responses = { model: 'gpt-6-sol', max_output_tokens: 4_000, input: 'hi', store: false, stream: true }
const anthropic = { wire: 'anthropic', path: '/v1/messages' } as const
const openai = { wire: 'openai', path: '/v1/chat/completions' } as const
const askUsage = { stream_options: { include_usage: true } }

const REPLAYS: readonly Replay[] = [
  {
    ...anthropic,
    what: 'thinking, text and a tool call of Messages, with input read from and written to the cache',
    body: ask({ stream: true }),
    answer: 'messages-thinking-tool.sse',
    model: 'claude-opus-5-5',
    // 12 × 4 $ + 18,204 × 0.20 $ + 3,000 × 5 $ + 416 × 8 $ + 617 × 20 $ for a million; the thinking is within the output.
    cost: 48_000n + 3_640_800n + 15_000_000n + 3_328_000n + 12_340_000n,
    tokens: counts(12, 18_204, 3_000, 416, 617),
    messageId: 'msg_01XwBq7mJtKzP4sVhRnY8cDf',
  },
  {
    ...anthropic,
    what: 'a stream of Messages that fails after its first words',
    body: ask({ stream: true }),
    answer: 'messages-overloaded-midway.sse',
    model: 'claude-opus-5-5',
    // 25 × 4 $, and all of the 1,000 tokens that it was allowed × 20 $.
    cost: 100_000n + 20_000_000n,
    tokens: counts(25, 0, 0, 0, 1),
    messageId: 'msg_01Fp6TqLkYwXz2NcVbH8sRdJ',
    quality: 'estimated',
  },
  {
    ...anthropic,
    what: 'a whole message',
    body: ask(),
    answer: 'messages.json',
    model: 'claude-opus-5-5',
    // 2,095 × 4 $ + 1,024 × 0.20 $ + 503 × 20 $.
    cost: 8_380_000n + 204_800n + 10_060_000n,
    tokens: counts(2_095, 1_024, 0, 0, 503),
    messageId: 'msg_01RkT5vWzYq3LnXb7HsPcJdM',
  },
  {
    ...openai,
    what: 'tool calls of Chat Completions whose client asked for usage',
    body: { ...chat, ...askUsage },
    answer: 'chat-tools.sse',
    model: 'gpt-5-2025-08-07',
    // 519 of the 1,543 × 1.25 $ + the 1,024 that were cached × 0.125 $ + 208 × 10 $; the reasoning is within the output.
    cost: 648_750n + 128_000n + 2_080_000n,
    tokens: counts(519, 1_024, 0, 0, 208),
    messageId: 'chatcmpl-CbKz9tQWnXv4LsHpRy7mJdFaT2eUo',
  },
  {
    ...openai,
    what: 'tool calls of Chat Completions whose client asked for no usage, as the vendor sends them without it',
    body: chat,
    answer: 'chat-tools.sse',
    gets: 'chat-tools.unasked.sse',
    model: 'gpt-5-2025-08-07',
    cost: 648_750n + 128_000n + 2_080_000n,
    tokens: counts(519, 1_024, 0, 0, 208),
    messageId: 'chatcmpl-CbKz9tQWnXv4LsHpRy7mJdFaT2eUo',
  },
  {
    ...openai,
    what: 'two choices of one completion, side by side',
    body: two,
    answer: 'chat-two-choices.sse',
    gets: 'chat-two-choices.unasked.sse',
    model: 'gpt-5-mini-2025-08-07',
    // 31 × 0.25 $ + 22 of both × 2 $.
    cost: 7_750n + 44_000n,
    tokens: counts(31, 0, 0, 0, 22),
    messageId: 'chatcmpl-CbL0aXpRtYvKz3NqWsHmJdFcT8eUi',
  },
  {
    ...openai,
    what: 'a whole completion, with the spaces that it was written with',
    body: { ...two, stream: false },
    answer: 'chat.json',
    model: 'gpt-5-mini-2025-08-07',
    // 31 × 0.25 $ + 40 × 2 $.
    cost: 7_750n + 80_000n,
    tokens: counts(31, 0, 0, 0, 40),
    messageId: 'chatcmpl-CbL1tQzXvNw5LsHpRy8mJdFaK3eUo',
  },
  {
    ...openai,
    what: 'reasoning, text and a tool call of Responses, with input read from and written to the cache',
    path: '/v1/responses',
    body: responses,
    answer: 'responses-reasoning-tool.sse',
    model: 'gpt-6-sol',
    // 518 of the 2,310 × 2 $ + 1,280 × 0.20 $ + 512 × 2.50 $ + 344 × 10 $.
    cost: 1_036_000n + 256_000n + 1_280_000n + 3_440_000n,
    tokens: counts(518, 1_280, 512, 0, 344),
    messageId: 'resp_0f6c2b91d4e87a3500691f2c6b8a0481a5c3d7e9',
  },
  {
    ...openai,
    what: 'a response that ends at its limit of output',
    path: '/v1/responses',
    body: { ...responses, max_output_tokens: 16 },
    answer: 'responses-incomplete.sse',
    model: 'gpt-6-sol',
    // 18 × 2 $ + 16 × 10 $.
    cost: 36_000n + 160_000n,
    tokens: counts(18, 0, 0, 0, 16),
    messageId: 'resp_1a7d3ca2e5f98b4600691f2d7c9b1592b6d4e8fa',
  },
  {
    ...openai,
    what: 'a whole response, with the spaces that it was written with',
    path: '/v1/responses',
    body: { ...responses, stream: false },
    answer: 'response.json',
    model: 'gpt-6-sol',
    cost: 1_036_000n + 256_000n + 1_280_000n + 3_440_000n,
    tokens: counts(518, 1_280, 512, 0, 344),
    messageId: 'resp_0f6c2b91d4e87a3500691f2c6b8a0481a5c3d7e9',
  },
]

describe('an answer of a vendor comes through to the byte and is charged to the nano-dollar', () => {
  for (const told of REPLAYS) {
    for (const split of told.answer.endsWith('.sse') ? splits : (['whole'] as const)) {
      it(`replays byte for byte: ${told.what} (${split})`, async () => {
        hub.answerWith(replay(told.answer, split))
        const machine = await hub.machine(USD * 10n, told.wire)
        const response = await machine.post(told.path, told.body)
        const got = Buffer.from(await response.arrayBuffer())
        assert.equal(response.status, 200)
        assert.equal(got.toString('latin1'), recorded(told.gets ?? told.answer).toString('latin1'))
        assert.deepEqual(await machine.budget(), { limit: USD * 10n, settled: told.cost, reserved: 0n })
        const usage = await machine.usage()
        assert.deepEqual(
          usage.map(({ cost, amount, model, tokens, message_id, quality }) => ({ cost, amount, model, tokens, message_id, quality })),
          [{ cost: told.cost, amount: told.cost, model: told.model, tokens: told.tokens, message_id: told.messageId, quality: told.quality ?? 'measured' }],
        )
      })
    }
  }
})
