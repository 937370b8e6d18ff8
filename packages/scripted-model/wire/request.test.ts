import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProviderError } from './errors.ts'
import { parseRequest } from './request.ts'

const USER = { role: 'user', content: 'go' }
const BASE = { model: 'm', max_tokens: 100, messages: [USER] }
const call = (...ids: string[]) => ({ role: 'assistant', content: ids.map((id) => ({ type: 'tool_use', id, name: 'T', input: {} })) })
const result = (...ids: string[]) => ({ role: 'user', content: ids.map((id) => ({ type: 'tool_result', tool_use_id: id, content: 'out' })) })
const marked = { type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }

const REFUSED: readonly [string, unknown, RegExp][] = [
  ['no object', [], /valid dictionary/],
  ['no model', { ...BASE, model: undefined }, /^model: Field required/],
  ['no messages', { ...BASE, messages: undefined }, /^messages: Field required/],
  ['no max_tokens', { ...BASE, max_tokens: undefined }, /^max_tokens: Field required/],
  ['max_tokens below 0', { ...BASE, max_tokens: -1 }, /^max_tokens: .*greater than or equal to 0/],
  ['max_tokens in words', { ...BASE, max_tokens: 'many' }, /^max_tokens: .*valid integer/],
  ['an empty list of messages', { ...BASE, messages: [] }, /at least one message/],
  ['an unknown role', { ...BASE, messages: [{ role: 'robot', content: 'x' }] }, /^messages\.0\.role/],
  ['a message without content', { ...BASE, messages: [{ role: 'user' }] }, /^messages\.0\.content: Field required/],
  ['a message with empty content', { ...BASE, messages: [{ role: 'user', content: [] }] }, /non-empty content/],
  ['an empty text', { ...BASE, messages: [{ role: 'user', content: [{ type: 'text', text: '' }] }] }, /text content blocks must be non-empty/],
  ['an assistant who begins', { ...BASE, messages: [{ role: 'assistant', content: 'x' }, USER] }, /first message must use the "user" role/],
  ['an assistant who has the last word', { ...BASE, messages: [USER, { role: 'assistant', content: 'x' }] }, /prefill/],
  ['a tool call without an answer', { ...BASE, messages: [USER, call('a', 'b'), result('a')] }, /without `tool_result` blocks immediately after: b/],
  ['an answer without a call', { ...BASE, messages: [USER, call('a'), result('a', 'c')] }, /unexpected `tool_use_id`.*: c/],
  [
    'an answer that comes a turn late',
    { ...BASE, messages: [USER, call('a'), USER, { role: 'assistant', content: 'x' }, result('a')] },
    /immediately after: a/,
  ],
  ['two answers to one call', { ...BASE, messages: [USER, call('a'), result('a', 'a')] }, /single result/],
  ['one id for two calls', { ...BASE, messages: [USER, call('a'), result('a'), call('a'), result('a')] }, /ids must be unique/],
  ['two tools of one name', { ...BASE, tools: [{ name: 'T' }, { name: 'T' }] }, /Tool names must be unique/],
  [
    'a thinking budget not below max_tokens',
    { ...BASE, max_tokens: 2000, thinking: { type: 'enabled', budget_tokens: 2000 } },
    /must be greater than `thinking.budget_tokens`/,
  ],
  ['a thinking budget below the least one', { ...BASE, max_tokens: 2000, thinking: { type: 'enabled', budget_tokens: 1000 } }, /greater than or equal to 1024/],
  ['five breakpoints', { ...BASE, system: [marked, marked, marked], messages: [{ role: 'user', content: [marked, marked] }] }, /maximum of 4 blocks.*Found 5/],
]

for (const [what, body, sentence] of REFUSED) {
  test(`${what} is refused as the provider does`, () => {
    assert.throws(
      () => parseRequest(body),
      (error: unknown) => error instanceof ProviderError && error.status === 400 && error.type === 'invalid_request_error' && sentence.test(error.message),
    )
  })
}

test('fields that are not known, parallel calls and messages of the system in between are accepted', () => {
  const messages = [USER, call('a', 'b'), { role: 'system', content: 'note' }, result('b'), result('a'), { role: 'assistant', content: 'x' }, USER]
  const request = parseRequest({ ...BASE, messages, context_management: {}, output_config: { effort: 'high' } })
  assert.equal(request.messages.length, 7)
})

test('a count needs no max_tokens', () => {
  assert.equal(parseRequest({ model: 'm', messages: [USER] }, true).maxTokens, 0)
})
