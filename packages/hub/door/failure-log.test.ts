import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testClock } from '../operations/engine/testing.ts'
import { createFailureLog } from './failure-log.ts'

test('a machine that makes the door fail again and again is told of a few times, with the number of the others, and the next machine as before', () => {
  const clock = testClock(Date.now())
  const lines: Record<string, unknown>[] = []
  const tell = createFailureLog({ error: (fields) => lines.push({ ...fields }) }, clock)
  const [one, other] = [clock.newId('machine'), clock.newId('machine')]
  const error = new Error('it failed')
  for (let times = 0; times < 1000; times++) tell(one, error)
  assert.equal(lines.length, 10)
  tell(other, error)
  assert.deepEqual(lines.at(-1), { err: error, machine: other })
  clock.advance(300_000)
  for (let times = 0; times < 1000; times++) tell(one, error)
  assert.deepEqual(lines.slice(11), [{ err: error, machine: one, unsaid: 990 }])
})
