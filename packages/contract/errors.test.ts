import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError, ERRORS, type Problem } from './errors.ts'

const problemOf = (code: string): Problem => ({
  type: `urn:autovibe:error:${code}`,
  title: 'A title',
  status: 400,
  detail: 'What happened.',
  code,
  retryable: true,
})

test('a problem document reads as the error that it was made of', () => {
  for (const code of Object.keys(ERRORS) as (keyof typeof ERRORS)[]) {
    const error = new AutovibeError(code, 'What happened.', { fix: 'autovibe doctor' })
    const read = AutovibeError.fromProblem(error.toProblem('req_1'))
    assert.deepEqual([read.code, read.message, read.fix, read.retryable, read.requestId], [code, 'What happened.', 'autovibe doctor', error.retryable, 'req_1'])
  }
})

test('a code that this version does not know reads as internal, also where every object knows the word', () => {
  for (const code of ['budget.new', 'constructor', 'toString', '__proto__', 'hasOwnProperty', '']) {
    const read = AutovibeError.fromProblem(problemOf(code))
    assert.deepEqual([read.code, read.exitCode, read.retryable], ['internal', new AutovibeError('internal', '').exitCode, true])
  }
})
