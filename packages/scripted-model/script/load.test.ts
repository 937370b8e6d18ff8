import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { loadScript, parseScript } from './load.ts'

const REPLY = 'conversations: [{ replies: [{ text: hello }] }]\n'

/** Each line of the golden list is what a person sees for one broken script. */
const BROKEN: Readonly<Record<string, string>> = {
  'an empty file': '',
  'a list instead of a mapping': '- text: hello\n',
  'no YAML at all': 'conversations:\n  - replies: [\n',
  'a tab for indentation': 'conversations:\n\t- replies: []\n',
  'the same key twice': `${REPLY}api_key: a\napi_key: b\n`,
  'two documents': `${REPLY}---\n${REPLY}`,
  'no conversations': 'models: [a]\n',
  'an empty list of conversations': 'conversations: []\n',
  'a conversation without replies': 'conversations:\n  - match: hello\n',
  'a conversation that is a text': 'conversations:\n  - hello\n',
  'an unknown key at the top': `${REPLY}model: a\n`,
  'an unknown key of a reply': 'conversations:\n  - replies:\n      - text: hello\n        tool: []\n',
  'an unknown key of a tool': 'conversations:\n  - replies:\n      - tools:\n          - name: shell\n            arguments: {}\n',
  'a reply without content': 'conversations:\n  - replies:\n      - delay_ms: 5\n',
  'texts of the wrong type': 'conversations:\n  - match: 3\n    replies:\n      - text: [a]\n        thinking: true\n',
  'an empty match': 'conversations:\n  - match: ""\n    replies: [{ text: a }]\n',
  'a tool without a name': 'conversations:\n  - replies:\n      - tools: [{ input: {} }]\n',
  'a tool input that is a text': 'conversations:\n  - replies:\n      - tools: [{ name: shell, input: ls }]\n',
  'numbers out of range':
    'conversations:\n  - replies:\n      - text: a\n        delay_ms: -1\n        usage:\n          output_tokens: 1.5\n          input_tokens: many\n',
  'an unknown stop reason': 'conversations:\n  - replies:\n      - text: a\n        stop_reason: done\n',
  'tool_use without tools': 'conversations:\n  - replies:\n      - text: a\n        stop_reason: tool_use\n',
  'times without a failure': 'conversations:\n  - replies:\n      - text: a\n        times: 2\n',
  'an error without a status': 'conversations:\n  - replies:\n      - error: { type: api_error }\n',
  'an error that is a success': 'conversations:\n  - replies:\n      - error: { status: 200 }\n',
  'an error that hides its content': 'conversations:\n  - replies:\n      - text: a\n        error: { status: 529 }\n',
  'an error a few times with nothing after it': 'conversations:\n  - replies:\n      - error: { status: 529 }\n        times: 2\n',
  'an error and a cut': 'conversations:\n  - replies:\n      - text: a\n        times: 1\n        error: { status: 529 }\n        cut_after_events: 1\n',
  'a header that HTTP forbids': 'conversations:\n  - replies:\n      - error: { status: 429, headers: { "retry after": "1" } }\n',
  'a placeholder without vars': 'conversations:\n  - replies:\n      - text: in {{project}}\n',
  'a placeholder that vars lacks':
    'vars: { project: /p }\nconversations:\n  - replies:\n      - tools:\n          - name: Read\n            input:\n              limit: 1\n              file_path: "{{projct}}/a"\n',
  'a var that is a number': `vars: { project: 3 }\n${REPLY}`,
  'models that are a text': `models: claude\n${REPLY}`,
  'a key that is empty': `api_key: ""\n${REPLY}`,
  'a conversation that none reaches': 'conversations:\n  - match: fix\n    replies: [{ text: a }]\n  - match: fix the test\n    replies: [{ text: b }]\n',
  'two conversations for every prompt': 'conversations:\n  - replies: [{ text: a }]\n  - replies: [{ text: b }]\n',
  'an alias that names nothing': 'conversations: *other\n',
}

test('every kind of mistake is told with its place, what is expected and what was found', (t) => {
  const told = Object.entries(BROKEN).map(([kind, text]) => `${kind}\n${mistakes(text)}\n`)
  t.assert.fileSnapshot(told.join('\n'), join(import.meta.dirname, 'mistakes.golden.txt'), { serializers: [String] })
})

test('all mistakes of a file are told at once, in the order of its lines', () => {
  const text = 'models: 3\nconversations:\n  - replies:\n      - txt: a\n      - text: 5\n'
  assert.match(mistakes(text), /:1:\d+ .*\n.*:4:\d+ .*\n.*:5:\d+ /s)
})

test('a file that does not exist is a mistake of the script', async () => {
  await assert.rejects(
    loadScript('/nowhere/script.yaml'),
    (error: unknown) => error instanceof AutovibeError && error.code === 'script.invalid' && /ENOENT/.test(error.message),
  )
})

test('placeholders are replaced in texts and in every depth of a tool input, wherever the vars stand', () => {
  const text =
    'conversations:\n  - replies:\n      - text: "in {{project}}"\n        tools: [{ name: T, input: { a: [{ b: "{{project}}/c {{ not }}" }], n: 1 } }]\nvars: { project: /p }\n'
  const reply = parseScript('s.yaml', text).conversations[0]?.replies[0]
  assert.equal(reply?.text, 'in /p')
  assert.deepEqual(reply?.tools[0]?.input, { a: [{ b: '/p/c {{ not }}' }], n: 1 })
  assert.equal(parseScript('s.yaml', text, { project: '/q' }).conversations[0]?.replies[0]?.text, 'in /q')
})

test('an anchor may be used for a reply that comes twice', () => {
  const script = parseScript('s.yaml', 'conversations:\n  - replies:\n      - &again { text: hello }\n      - *again\n')
  assert.equal(script.conversations[0]?.replies[1]?.text, 'hello')
})

function mistakes(text: string): string {
  try {
    parseScript('script.yaml', text)
  } catch (error) {
    assert.ok(error instanceof AutovibeError)
    assert.equal(error.code, 'script.invalid')
    return (error.errors ?? []).map(({ path, message }) => `  ${path} ${message}`).join('\n')
  }
  return assert.fail(`accepted: ${text}`)
}
