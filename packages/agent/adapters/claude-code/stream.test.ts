import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Happening, StreamReader } from './stream.ts'

const assistant = (id: string, ...content: unknown[]): unknown => ({ type: 'assistant', message: { id, model: 'm', content }, parent_tool_use_id: null })
const use = (id: string, name: string, input: unknown): unknown => ({ type: 'tool_use', id, name, input })
const result = (id: string, isError = false): unknown => ({
  type: 'user',
  message: { content: [{ type: 'tool_result', tool_use_id: id, is_error: isError }] },
  parent_tool_use_id: null,
})
const stop = { type: 'stream_event', event: { type: 'message_stop' }, parent_tool_use_id: null }

function read(lines: readonly unknown[], lastIndex = 0): Happening[] {
  const reader = new StreamReader(lastIndex, () => 0)
  return [...lines.flatMap((line) => reader.read(line)), ...reader.end()]
}

/** One word for each thing that happened. */
function outline(happenings: readonly Happening[]): string[] {
  return happenings.map((one) => {
    if (one.kind === 'step-ended') return `ended ${one.index}${one.filesChanged ? ' changed' : ''}`
    if (one.kind !== 'event') return one.kind
    const { event } = one
    if (event.type === 'step.finished')
      return `finished ${event.step.index} ${event.step.message_id} [${event.step.tools.map(({ name, is_error: isError }) => `${name}${isError ? '!' : ''}`).join(' ')}]`
    return 'index' in event ? `${event.type} ${event.index}` : event.type
  })
}

test('blocks of one message are one step, which ends when the message and all its tools have', () => {
  const lines = [
    { type: 'system', subtype: 'init', session_id: 's-1' },
    assistant('m1', { type: 'text', text: 'I look.' }),
    assistant('m1', use('t1', 'Read', { file_path: 'a' })),
    result('t1'),
    assistant('m1', use('t2', 'Bash', { command: 'ls' })),
    stop,
    result('t2', true),
    assistant('m2', { type: 'text', text: 'Done.' }),
    { type: 'result', subtype: 'success', is_error: false, result: 'Done.', total_cost_usd: '0.0094' },
  ]
  assert.deepEqual(outline(read(lines)), [
    'session',
    'step.started 1',
    'run.message',
    'step.tool_started 1',
    'tool-opened',
    'step.tool_finished 1',
    'tool-closed',
    'step.tool_started 1',
    'tool-opened',
    'step.tool_finished 1',
    'tool-closed',
    'finished 1 m1 [Read Bash!]',
    'ended 1 changed',
    'step.started 2',
    'run.message',
    'finished 2 m2 []',
    'ended 2',
    'result',
  ])
})

test('without stream events the next message ends the step before, and steps count on after a restart', () => {
  const lines = [assistant('m1', use('t1', 'Read', {})), result('t1'), assistant('m2', { type: 'text', text: 'x' })]
  assert.deepEqual(
    outline(read(lines, 7)).filter((word) => /^(finished|ended)/.test(word)),
    ['finished 8 m1 [Read]', 'ended 8', 'finished 9 m2 []', 'ended 9'],
  )
})

test("a sub-agent's steps run beside the step that called it", () => {
  const inner = (line: unknown): unknown => ({ ...(line as object), parent_tool_use_id: 't1' })
  const lines = [assistant('m1', use('t1', 'Task', {})), stop, inner(assistant('m2', use('t2', 'Read', {}))), inner(result('t2')), inner(stop), result('t1')]
  assert.deepEqual(
    outline(read(lines)).filter((word) => word.startsWith('finished')),
    ['finished 2 m2 [Read]', 'finished 1 m1 [Task]'],
  )
})

test('a refusal for money is told with its status, type and words, and is no step', () => {
  const refusal = {
    type: 'assistant',
    message: { id: 'x', model: '<synthetic>', content: [{ type: 'text', text: 'API Error: 402 used up' }] },
    is_api_error_message: true,
    api_error_status: 402,
    api_error_type: 'billing_error',
  }
  const happenings = read([refusal, { type: 'result', subtype: 'success', is_error: true, result: 'API Error', total_cost_usd: '0' }])
  assert.deepEqual(happenings, [
    {
      kind: 'result',
      result: { isError: true, text: 'API Error', totalNanoUsd: 0n, problem: { status: 402, type: 'billing_error', text: 'API Error: 402 used up' } },
    },
  ])
})

test('whatever the lines are, tools are closed as often as opened and steps are finished once each, in any order of ids', () => {
  const id = fc.constantFrom('a', 'b', 'c')
  const line = fc.oneof(
    id.map((one) => assistant(one, { type: 'text', text: 'x' })),
    fc.tuple(id, id).map(([message, tool]) => assistant(message, use(tool, 'Bash', { command: 'ls' }))),
    id.map((one) => result(one)),
    fc.constant<unknown>(stop),
    fc.constant<unknown>({ type: 'result' }),
    fc.jsonValue(),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 40 }), (lines) => {
      const happenings = read(lines)
      const count = (kind: Happening['kind']): number => happenings.filter((one) => one.kind === kind).length
      assert.equal(count('tool-opened'), count('tool-closed'))
      const events = happenings.flatMap((one) => (one.kind === 'event' ? [one.event] : []))
      const started = events.flatMap((event) => (event.type === 'step.started' ? [event.index] : []))
      const finished = events.flatMap((event) => (event.type === 'step.finished' ? [event.step.index] : []))
      assert.deepEqual(
        finished.sort((x, y) => x - y),
        started,
      )
    }),
  )
})
