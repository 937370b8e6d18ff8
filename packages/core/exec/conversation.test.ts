import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError, EXEC_LIMITS, EXEC_REFUSALS, type ExecStream, packExecData } from '@autovibe/contract'
import fc from 'fast-check'
import { ExecConversation, type ExecFrame } from './conversation.ts'
import { refusalOf } from './refusals.ts'

const words = (value: unknown): ExecFrame => ({ bytes: new TextEncoder().encode(JSON.stringify(value)), isBinary: false })
const data = (stream: ExecStream, size: number): ExecFrame => ({ bytes: packExecData(stream, new Uint8Array(size)), isBinary: true })
const STARTED = words({ type: 'started' })
const EXIT = words({ type: 'exit', exit_code: 0, signal: null })
const invalid = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'request.invalid'

const begun = (options = { tty: false, stdin: true }): ExecConversation => {
  const conversation = new ExecConversation(options)
  conversation.fromMachine(STARTED)
  return conversation
}

test('a command is called, starts, speaks and ends, and each word is passed on as it was understood', () => {
  const conversation = new ExecConversation({ tty: false, stdin: true })
  assert.deepEqual(conversation.fromClient(data('stdin', 5)), { kind: 'data', stream: 'stdin', size: 5 })
  assert.equal(conversation.fromMachine(words({ type: 'credit', stream: 'stdin', bytes: 2 })).kind, 'words', 'input may be taken before the start is told')
  assert.deepEqual(conversation.fromMachine(words({ type: 'started', more: 'left out' })), { kind: 'words', words: { type: 'started' } })
  assert.deepEqual(conversation.fromMachine(data('stderr', 7)), { kind: 'data', stream: 'stderr', size: 7 })
  assert.deepEqual(conversation.fromMachine(words({ type: 'credit', stream: 'stdin', bytes: 3 })).kind, 'words')
  assert.equal(conversation.phase, 'started')
  conversation.fromMachine(EXIT)
  assert.equal(conversation.phase, 'ended')
})

test('a machine is not believed out of turn', () => {
  assert.throws(() => new ExecConversation({ tty: false, stdin: false }).fromMachine(data('stdout', 1)), invalid)
  assert.throws(() => new ExecConversation({ tty: false, stdin: false }).fromMachine(data('stdin', 1)), invalid)
  assert.throws(() => new ExecConversation({ tty: false, stdin: false }).fromMachine(EXIT), invalid)
  assert.throws(() => begun().fromMachine(STARTED), invalid)
  assert.throws(() => begun().fromMachine(words({ type: 'refused', why: 'no_program', message: '' })), invalid)
  assert.throws(() => begun({ tty: true, stdin: true }).fromMachine(data('stderr', 1)), invalid)
  const over = begun()
  over.fromMachine(EXIT)
  for (const late of [EXIT, STARTED, data('stdout', 1)]) assert.throws(() => over.fromMachine(late), invalid)
})

test('neither end sends more than was granted, and neither grants what was never sent', () => {
  const conversation = begun()
  for (let sent = 0; sent < EXEC_LIMITS.windowBytes; sent += EXEC_LIMITS.dataBytes) {
    conversation.fromMachine(data('stdout', EXEC_LIMITS.dataBytes))
    conversation.fromClient(data('stdin', EXEC_LIMITS.dataBytes))
  }
  assert.throws(() => conversation.fromMachine(data('stdout', 1)), invalid)
  assert.throws(() => conversation.fromClient(data('stdin', 1)), invalid)
  conversation.fromClient(words({ type: 'credit', stream: 'stdout', bytes: 1 }))
  conversation.fromMachine(data('stdout', 1))
  assert.throws(() => begun().fromClient(words({ type: 'credit', stream: 'stderr', bytes: 1 })), invalid)
  assert.throws(() => begun().fromMachine(words({ type: 'credit', stream: 'stdin', bytes: 1 })), invalid)
})

test('standard input that was not asked for, or is closed, takes nothing more', () => {
  assert.throws(() => begun({ tty: false, stdin: false }).fromClient(data('stdin', 1)), invalid)
  const closed = begun()
  closed.fromClient(words({ type: 'stdin_end' }))
  closed.fromClient(words({ type: 'stdin_end' }))
  assert.throws(() => closed.fromClient(data('stdin', 1)), invalid)
})

test('whatever bytes come, a frame is passed on or refused, and what is under way stays within the windows', () => {
  const anyFrame = fc.oneof(
    fc.record({ bytes: fc.uint8Array({ maxLength: 300 }), isBinary: fc.boolean() }),
    fc
      .record({ stream: fc.constantFrom<ExecStream>('stdin', 'stdout', 'stderr'), size: fc.integer({ min: 1, max: EXEC_LIMITS.dataBytes }) })
      .map((each) => data(each.stream, each.size)),
    fc
      .record({
        type: fc.constantFrom('credit', 'stdin_end', 'exit', 'started', 'signal'),
        stream: fc.constantFrom('stdin', 'stdout', 'stderr'),
        bytes: fc.integer(),
      })
      .map(words),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), anyFrame), { maxLength: 60 }), (frames) => {
      const conversation = begun()
      const underWay = { stdin: 0, stdout: 0, stderr: 0 }
      for (const [isClient, frame] of frames) {
        try {
          const passed = isClient ? conversation.fromClient(frame) : conversation.fromMachine(frame)
          if (passed.kind === 'data') underWay[passed.stream] += passed.size
          else if (passed.words.type === 'credit') underWay[passed.words.stream] -= passed.words.bytes
        } catch (error) {
          assert.ok(invalid(error), String(error))
        }
        for (const bytes of Object.values(underWay)) assert.ok(bytes >= 0 && bytes <= EXEC_LIMITS.windowBytes)
      }
    }),
  )
})

test('each refusal of a machine is an error with a way out and an exit code that docker users know', () => {
  const codes = EXEC_REFUSALS.map((why) => {
    const { error, exitCode } = refusalOf({ type: 'refused', why, message: 'It is so.' }, 'brave-okapi')
    assert.deepEqual([error.code, error.message], ['exec.not_started', 'It is so.'])
    assert.ok(error.fix)
    return [why, exitCode]
  })
  assert.deepEqual(Object.fromEntries(codes), { no_program: 127, not_executable: 126, no_folder: 125, no_terminal: 125, broken: 125 })
})
