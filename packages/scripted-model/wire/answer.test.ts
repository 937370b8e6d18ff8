import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EMPTY_REPLY, NO_OVERRIDE, type Reply } from '../script/types.ts'
import { buildAnswer } from './answer.ts'
import { type Envelope, toEvents } from './events.ts'
import { parseRequest } from './request.ts'
import { countText, PromptCache } from './usage.ts'

const asked = (maxTokens: number) =>
  parseRequest({ model: 'm', max_tokens: maxTokens, thinking: { type: 'adaptive' }, messages: [{ role: 'user', content: 'hello' }] })
const reply = (fields: Partial<Reply>): Reply => ({ ...EMPTY_REPLY, ...fields })

test('a reply that fits ends by itself, one with tools asks for them', () => {
  assert.deepEqual(buildAnswer(reply({ text: 'hello world' }), asked(100), 's'), {
    blocks: [{ type: 'text', text: 'hello world' }],
    stopReason: 'end_turn',
    outputTokens: 3,
  })
  assert.equal(buildAnswer(reply({ tools: [{ name: 'T', input: {} }] }), asked(100), 's').stopReason, 'tool_use')
})

test('a reply longer than max_tokens is a beginning of the whole one, bills max_tokens and says so', () => {
  const texts = { text: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 80 }), thinking: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 80 }) }
  fc.assert(
    fc.property(
      fc.record(texts),
      fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
      fc.integer({ min: 0, max: 60 }),
      ({ text, thinking }, input, maxTokens) => {
        const scripted = reply({ text, thinking, tools: [{ name: 'T', input }] })
        const whole = buildAnswer(scripted, asked(1_000_000), 's')
        const cut = buildAnswer(scripted, asked(maxTokens), 's')
        assert.equal(cut.outputTokens, Math.min(whole.outputTokens, maxTokens))
        assert.equal(cut.stopReason, whole.outputTokens > maxTokens ? 'max_tokens' : 'tool_use')
        assert.ok(whole.blocks.map(content).join('').startsWith(cut.blocks.map(content).join('')))
      },
    ),
  )
})

test('an overridden count stands for a longer reply and is cut too, unless the script plays a provider that breaks its bound', () => {
  const scripted = reply({ text: 'x'.repeat(400), usage: { ...NO_OVERRIDE, output: 5000 } })
  const cut = buildAnswer(scripted, asked(2500), 's')
  assert.deepEqual([cut.outputTokens, cut.stopReason, cut.blocks.map(content).join('').length], [2500, 'max_tokens', 200])
  assert.equal(buildAnswer({ ...scripted, ignoreMaxTokens: true }, asked(10), 's').outputTokens, 5000)
})

test('tool calls of one request have ids of their own, and the same request gets the same ones', () => {
  const scripted = reply({
    tools: [
      { name: 'T', input: {} },
      { name: 'T', input: {} },
    ],
  })
  const ids = (seed: string) => buildAnswer(scripted, asked(100), seed).blocks.map((block) => (block.type === 'tool_use' ? block.id : ''))
  assert.equal(new Set([...ids('a'), ...ids('b')]).size, 4)
  assert.deepEqual(ids('a'), ids('a'))
})

test('the deltas of a stream add up to the blocks, and their number is bounded', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 2000 }), (text) => {
      const answer = buildAnswer(reply({ text, thinking: text, tools: [{ name: 'T', input: { text } }] }), asked(100_000), 's')
      const usage = new PromptCache().account(asked(1), NO_OVERRIDE, answer.outputTokens)
      const envelope: Envelope = { id: 'msg_1', model: 'm', answer, usage }
      const events = [...toEvents(envelope)]
      assert.ok(events.length < 3 * 210)
      const sum = (key: string): string => events.map(({ delta }) => (delta as Record<string, string> | undefined)?.[key] ?? '').join('')
      assert.deepEqual([sum('text'), sum('thinking'), JSON.parse(sum('partial_json'))], [text, text, { text }])
    }),
    { numRuns: 40 },
  )
})

test('tokens are counted by bytes', () => {
  assert.deepEqual([countText('abcd'), countText('abcde'), countText('éééé'), countText('')], [1, 2, 2, 1])
})

function content(block: ReturnType<typeof buildAnswer>['blocks'][number]): string {
  if (block.type === 'text') return block.text
  return block.type === 'thinking' ? block.thinking : block.json
}
