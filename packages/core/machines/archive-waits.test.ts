import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LOCK_WAIT_MOST_MS, type LockWait, meetLock } from './archive-waits.ts'

/** Meets the lock again and again; each look takes so long. Answers the pauses, and when it was over. */
function waitOut(lookMs: number): { pauses: number[]; overMs: number } {
  const pauses: number[] = []
  let wait: LockWait | null = null
  for (let nowMs = 1_000; ; ) {
    const met = meetLock(wait, nowMs)
    if (met === 'over') return { pauses, overMs: nowMs - 1_000 }
    wait = met.wait
    pauses.push(met.againMs)
    nowMs += met.againMs + lookMs
  }
}

test('pauses grow from seconds to two minutes, and the wait ends after half an hour', () => {
  const { pauses, overMs } = waitOut(0)
  assert.deepEqual(pauses.slice(0, 7), [5_000, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000])
  assert.equal(overMs, LOCK_WAIT_MOST_MS)
  assert.ok(pauses.length < 25)
})

test('however long a look takes, the wait ends after its bound, and at the next look', () => {
  fc.assert(
    fc.property(fc.nat(600_000), (lookMs) => {
      const { overMs } = waitOut(lookMs)
      assert.ok(overMs >= LOCK_WAIT_MOST_MS && overMs <= LOCK_WAIT_MOST_MS + lookMs)
    }),
  )
})

test('a lock that is met hours after another is waited for anew', () => {
  const first = meetLock(null, 0)
  assert.ok(first !== 'over')
  assert.deepEqual(meetLock(first.wait, 3 * 3_600_000), { wait: { sinceMs: 3 * 3_600_000, metMs: 3 * 3_600_000, looks: 1 }, againMs: 5_000 })
})
