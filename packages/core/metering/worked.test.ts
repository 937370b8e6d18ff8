import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SILENCE_MS } from '../reconcile/plan.ts'
import { workedMsAt } from './worked.ts'

test('a clock that stands still keeps what it has counted, one that goes adds to it', () => {
  assert.equal(workedMsAt({ workedMs: 500, workingSinceMs: null, heardAtMs: null }, 9_000), 500)
  assert.equal(workedMsAt({ workedMs: 500, workingSinceMs: 1_000, heardAtMs: null }, 9_000), 8_500)
  assert.equal(workedMsAt({ workedMs: 500, workingSinceMs: 9_000, heardAtMs: null }, 1_000), 500)
})

test('what was not heard from for hours has not been at work for hours', () => {
  const clock = { workedMs: 0, workingSinceMs: 0, heardAtMs: 1_000 }
  assert.equal(workedMsAt(clock, 2_000), 2_000)
  assert.equal(workedMsAt(clock, 36_000_000), 1_000 + SILENCE_MS)
  assert.equal(workedMsAt({ ...clock, workingSinceMs: 10_000_000 }, 36_000_000), 0)
})
