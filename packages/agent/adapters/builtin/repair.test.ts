import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Block, blocksOf, INTERRUPTED, type Message, repair } from './repair.ts'

const text = (words: string): Block => ({ type: 'text', text: words })
const call = (id: string): Block => ({ type: 'tool_use', id, name: 'shell', input: {} })
const result = (id: string): Block => ({ type: 'tool_result', tool_use_id: id, content: 'ok' })

test('a tool call without a result is answered by one that says that it was interrupted', () => {
  assert.deepEqual(
    repair([
      { role: 'user', content: 'go' },
      { role: 'assistant', content: [call('a'), call('b')] },
      { role: 'user', content: [result('b'), text('and on')] },
    ]),
    [
      { role: 'user', content: [text('go')] },
      { role: 'assistant', content: [call('a'), call('b')] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: INTERRUPTED, is_error: true }, result('b'), text('and on')] },
    ],
  )
})

test('an interrupted call stays apart from the answer that came after a restart', () => {
  const roles = repair([
    { role: 'user', content: 'go' },
    { role: 'assistant', content: [call('a')] },
    { role: 'assistant', content: [call('b')] },
  ]).map(({ role }) => role)
  assert.deepEqual(roles, ['user', 'assistant', 'user', 'assistant', 'user'])
})

const block: fc.Arbitrary<Block> = fc.oneof(
  fc.string({ minLength: 1 }).map(text),
  fc.constantFrom('a', 'b', 'c', 'd').map(call),
  fc.constantFrom('a', 'b', 'c', 'd').map(result),
)
const message: fc.Arbitrary<Message> = fc
  .record({ role: fc.constantFrom('user' as const, 'assistant' as const), content: fc.array(block, { maxLength: 4 }) })
  .map(onlyItsOwn)

/** Calls are the assistant's and results the user's, in any file. */
function onlyItsOwn({ role, content }: { role: 'user' | 'assistant'; content: Block[] }): Message {
  return { role, content: content.filter(({ type }) => type !== (role === 'user' ? 'tool_use' : 'tool_result')) }
}

test('whatever was stored, what is sent alternates, begins with the user, and answers each call exactly once, next', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 12 }), (messages) => {
      const sent = repair(messages)
      for (const [i, { role, content }] of sent.entries()) {
        assert.equal(role, i % 2 === 0 ? 'user' : 'assistant')
        assert.ok(content.length > 0)
        const calls = new Set(blocksOf(sent[i - 1] ?? { role: 'user', content: [] }).flatMap((one) => (one.type === 'tool_use' ? [one.id] : [])))
        const results = blocksOf({ role, content }).flatMap((one) => (one.type === 'tool_result' ? [one.tool_use_id] : []))
        if (role === 'user') assert.deepEqual(results.sort(), [...calls].sort())
      }
      assert.notEqual(sent.at(-1)?.role === 'assistant' && blocksOf(sent.at(-1) as Message).some(({ type }) => type === 'tool_use'), true)
      assert.deepEqual(repair(sent), sent)
    }),
  )
})
