import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { NO_OVERRIDE } from '../script/types.ts'
import { type MessagesRequest, parseRequest } from './request.ts'
import { countInput, type MessageUsage, PromptCache } from './usage.ts'

const KILO = 'x'.repeat(4096)
const mark = (ttl?: '1h'): Record<string, unknown> => ({ cache_control: { type: 'ephemeral', ...(ttl === undefined ? {} : { ttl }) } })
const block = (text: string, extra: Record<string, unknown> = {}): Record<string, unknown> => ({ type: 'text', text, ...extra })

function request(blocks: readonly Record<string, unknown>[], system: readonly Record<string, unknown>[] = [], model = 'm'): MessagesRequest {
  return parseRequest({ model, max_tokens: 10, system, messages: [{ role: 'user', content: blocks }] })
}

const account = (cache: PromptCache, asked: MessagesRequest): MessageUsage => cache.account(asked, NO_OVERRIDE, 1)
const figures = ({ input_tokens, cache_creation_input_tokens, cache_read_input_tokens }: MessageUsage): number[] => [
  input_tokens,
  cache_creation_input_tokens,
  cache_read_input_tokens,
]

test('a marked prefix is written once and read from then on', () => {
  const cache = new PromptCache()
  const asked = request([block(KILO, mark()), block('what now?')])
  const first = account(cache, asked)
  const second = account(cache, asked)
  assert.equal(first.cache_read_input_tokens, 0)
  assert.ok(first.cache_creation_input_tokens > 1024)
  assert.deepEqual(figures(second), [first.input_tokens, 0, first.cache_creation_input_tokens])
})

test('a conversation that grows reads what it had and writes what is new', () => {
  const cache = new PromptCache()
  const first = account(cache, request([block(KILO, mark())]))
  const second = account(cache, request([block(KILO), block(KILO), block('and', mark())]))
  assert.equal(second.cache_read_input_tokens, first.cache_creation_input_tokens)
  assert.ok(second.cache_creation_input_tokens >= 1024)
})

test('writes are split by the lifetime of the breakpoint that ends them', () => {
  const { cache_creation, cache_creation_input_tokens } = account(new PromptCache(), request([block(KILO, mark())], [block(KILO, mark('1h'))]))
  assert.ok(cache_creation.ephemeral_1h_input_tokens >= 1024 && cache_creation.ephemeral_5m_input_tokens >= 1024)
  assert.equal(cache_creation.ephemeral_1h_input_tokens + cache_creation.ephemeral_5m_input_tokens, cache_creation_input_tokens)
})

test('without a breakpoint, and below the least length, nothing is cached', () => {
  const cache = new PromptCache()
  for (const asked of [request([block(KILO)]), request([block('short', mark())])]) {
    assert.deepEqual(figures(account(cache, asked)), [countInput(asked), 0, 0])
    assert.deepEqual(figures(account(cache, asked)), [countInput(asked), 0, 0])
  }
})

test('another model and another beginning do not read the prefix', () => {
  const cache = new PromptCache()
  account(cache, request([block(KILO, mark())]))
  assert.equal(account(cache, request([block(KILO, mark())], [], 'other')).cache_read_input_tokens, 0)
  assert.equal(account(cache, request([block('new'), block(KILO, mark())])).cache_read_input_tokens, 0)
})

test('a prefix more than 20 blocks before a breakpoint is not found', () => {
  const cache = new PromptCache()
  account(cache, request([block(KILO, mark())]))
  const more = (count: number): Record<string, unknown>[] => [block(KILO), ...Array.from({ length: count - 1 }, () => block('x')), block('x', mark())]
  assert.ok(account(cache, request(more(20))).cache_read_input_tokens > 0)
  const fresh = new PromptCache()
  account(fresh, request([block(KILO, mark())]))
  assert.equal(account(fresh, request(more(21))).cache_read_input_tokens, 0)
})

test('a breakpoint for the whole request stands at its last block', () => {
  const cache = new PromptCache()
  const asked = parseRequest({ model: 'm', max_tokens: 1, cache_control: { type: 'ephemeral' }, messages: [{ role: 'user', content: KILO }] })
  account(cache, asked)
  assert.ok(account(cache, asked).cache_read_input_tokens > 1024)
})

test('however the blocks and breakpoints lie, the parts add up to the whole, and the parts of writes to the writes', () => {
  const blocks = fc.array(fc.record({ size: fc.integer({ min: 1, max: 3000 }), marked: fc.constantFrom(undefined, '5m', '1h') }), {
    minLength: 1,
    maxLength: 4,
  })
  fc.assert(
    fc.property(fc.array(blocks, { minLength: 1, maxLength: 6 }), (calls) => {
      const cache = new PromptCache()
      for (const call of calls) {
        const asked = request(call.map(({ size, marked }) => block('y'.repeat(size), marked === undefined ? {} : mark(marked === '1h' ? '1h' : undefined))))
        const usage = account(cache, asked)
        assert.equal(
          figures(usage).reduce((sum, value) => sum + value, 0),
          countInput(asked),
        )
        const { ephemeral_5m_input_tokens: short, ephemeral_1h_input_tokens: long } = usage.cache_creation
        assert.equal(short + long, usage.cache_creation_input_tokens)
        assert.ok(countInput(asked) <= Buffer.byteLength(JSON.stringify(asked.messages)))
      }
    }),
  )
})

test('each figure of the script replaces the computed one', () => {
  const usage = new PromptCache().account(request([block(KILO, mark())]), { ...NO_OVERRIDE, input: 7, cacheRead: 8, cacheWrite5m: 9, cacheWrite1h: 10 }, 11)
  assert.deepEqual(figures(usage), [7, 19, 8])
  assert.equal(usage.output_tokens, 11)
})
