/** What the door lets through over time, on a clock that the test owns. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DOOR_LIMITS, type MachineId } from '@autovibe/contract'
import fc from 'fast-check'
import { testClock } from '../operations/engine/testing.ts'
import { createRateLimits } from './rate-limits.ts'
import { TokenBucket } from './token-bucket.ts'

test('in any span no more is taken than the burst and what the span brings, and what waits as long as it was told is let through', () => {
  const asks = fc.array(fc.record({ amount: fc.nat(150), afterMs: fc.integer({ min: -500, max: 5_000 }) }), { maxLength: 60 })
  fc.assert(
    fc.property(asks, (asked) => {
      const bucket = new TokenBucket({ perSecond: 10, burst: 100 }, 0)
      let [nowMs, forwardMs, taken] = [0, 0, 0]
      for (const { amount, afterMs } of asked) {
        nowMs += afterMs
        forwardMs += Math.max(0, afterMs)
        const waitMs = bucket.take(amount, nowMs)
        if (waitMs > 0) {
          nowMs += Math.ceil(waitMs) + 1
          forwardMs += Math.ceil(waitMs) + 1
          assert.equal(bucket.take(amount, nowMs), 0)
        }
        taken += Math.min(amount, 100)
        assert.ok(taken <= 100 + (forwardMs / 1000) * 10 + 1e-6)
      }
    }),
  )
})

test('machines that have rested are forgotten, and one that has not cannot be forgotten by others coming', () => {
  const clock = testClock()
  const limits = createRateLimits(clock)
  const ask = (machineId: MachineId) => limits.waitMs(machineId, '/door/heartbeat', { 'content-length': '100' })
  const busy = clock.newId('machine')
  while (ask(busy) === 0);
  for (let round = 0; round < 1_000; round++) {
    ask(clock.newId('machine'))
    clock.advance(1_000 / DOOR_LIMITS.requestsPerSecond)
    ask(busy)
    assert.ok(ask(busy) > 0)
    assert.ok(limits.size <= 4, `${limits.size} machines are remembered`)
  }
})

test('a body of unknown length counts as the largest', () => {
  const clock = testClock()
  const limits = createRateLimits(clock)
  const machineId = clock.newId('machine')
  let asked = 0
  while (limits.waitMs(machineId, '/door/events', { 'transfer-encoding': 'chunked' }) === 0 && asked < 1_000) asked++
  assert.equal(asked, DOOR_LIMITS.bytesBurst / DOOR_LIMITS.bodyBytes)
})
