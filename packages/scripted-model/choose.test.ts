import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseReply } from './choose.ts'
import { parseScript } from './script/load.ts'
import type { Message } from './wire/blocks.ts'

const SCRIPT = parseScript(
  'script.yaml',
  `conversations:
  - match: first thing
    replies:
      - { text: a0, tools: [{ name: T }] }
      - { text: a1, tools: [{ name: T }] }
      - { text: a2 }
  - match: second thing
    replies: [{ text: b0, tools: [{ name: T }] }, { text: b1 }]
  - replies: [{ text: c0 }, { text: c1 }]
otherwise: { text: nothing }
`,
)
const TOOLS = [{ name: 'T', input_schema: { type: 'object' } }]

const user = (text: string): Message => ({ role: 'user', content: text })
const says = (text: string): Message => ({ role: 'assistant', content: text })
const results = (...blocks: readonly Record<string, unknown>[]): Message => ({
  role: 'user',
  content: [{ type: 'tool_result', tool_use_id: 't', content: 'out' }, ...blocks],
})

const text = (messages: readonly Message[], tools: readonly Record<string, unknown>[] = TOOLS): string | undefined =>
  chooseReply(SCRIPT, { messages, tools }).reply.text

test('the number of assistant turns since the prompt is the index of the reply', () => {
  const messages = [user('Do the first thing.'), says('x'), results(), says('y'), results()]
  assert.deepEqual(
    [1, 3, 5].map((length) => text(messages.slice(0, length))),
    ['a0', 'a1', 'a2'],
  )
})

test('messages of one role that follow one another are one turn', () => {
  assert.equal(text([user('the first thing'), user('please'), says('x'), says('y'), results(), user('and')]), 'a1')
})

test('a second prompt that matches begins its own conversation, and a fork before it goes on with the first', () => {
  const shared = [user('first thing'), says('x'), results(), says('y')]
  assert.equal(text([...shared, user('second thing')]), 'b0')
  assert.equal(text([...shared, user('second thing'), says('z'), results()]), 'b1')
  assert.equal(text([...shared, results()]), 'a2')
})

test('the same prompt asked again begins again', () => {
  assert.equal(text([user('first thing'), says('x'), results(), says('y'), user('Once more the first thing.')]), 'a0')
})

test('a prompt that comes beside the results of interrupted tools counts as a prompt', () => {
  assert.equal(text([user('first thing'), says('x'), results({ type: 'text', text: 'Rather do the second thing.' })]), 'b0')
})

test('what an agent adds in reminders is no prompt', () => {
  const reminder = { type: 'text', text: '<system-reminder>the second thing</system-reminder>' }
  assert.equal(text([user('first thing'), says('x'), results(reminder)]), 'a1')
})

test('a conversation without a match counts from the first prompt', () => {
  assert.deepEqual([text([user('else')]), text([user('else'), says('x'), user('more')])], ['c0', 'c1'])
})

test('a request beyond the last reply gets the reply of otherwise', () => {
  assert.equal(text([user('else'), says('x'), user('more'), says('y'), user('still more')]), 'nothing')
})

test('a request without tools is no part of a conversation that uses tools', () => {
  assert.equal(text([user('first thing')], []), 'c0')
  const tooled = parseScript('s.yaml', 'conversations: [{ replies: [{ tools: [{ name: T }] }] }]')
  const { reply, index, conversation } = chooseReply(tooled, { messages: [user('a title for this')], tools: [] })
  assert.deepEqual([reply.text, index, conversation], ['ok', null, null])
})

test('whatever came before, the same request gets the same reply', () => {
  const message = fc.constantFrom(user('first thing'), user('second thing'), user('else'), says('x'), results())
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 12 }), fc.array(message, { maxLength: 4 }), (messages, other) => {
      const before = chooseReply(SCRIPT, { messages, tools: TOOLS })
      chooseReply(SCRIPT, { messages: [...other, user('second thing')], tools: TOOLS })
      assert.deepEqual(chooseReply(SCRIPT, { messages, tools: TOOLS }), before)
    }),
  )
})
