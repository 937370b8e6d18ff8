import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { beginTriggers, checkpointTaken, decideCheckpoint, type Money, observe, type QuietPoint, type TriggerState, tenthsOf } from './checkpoint-trigger.ts'

const NOTHING_SPENT: Money = { spentNanoUsd: 0n, limitNanoUsd: 1000n }
const SETTINGS = { intervalSeconds: 60 }

const point: fc.Arbitrary<QuietPoint> = fc.oneof(
  fc.constant<QuietPoint>({ kind: 'before-first-step' }),
  fc.record({ kind: fc.constant('before-command' as const), command: fc.constantFrom('ls', 'rm -rf x'), filesChanged: fc.boolean() }),
  fc.record({ kind: fc.constant('step-ended' as const), filesChanged: fc.boolean() }),
  fc.constant<QuietPoint>({ kind: 'run-ended' }),
)
const money: fc.Arbitrary<Money> = fc.record({ spentNanoUsd: fc.bigInt(0n, 2000n), limitNanoUsd: fc.bigInt(0n, 1000n) })
const state: fc.Arbitrary<TriggerState> = fc.record({
  startPending: fc.boolean(),
  filesChanged: fc.boolean(),
  stepsSince: fc.nat(5),
  lastCheckpointAtMs: fc.nat(100_000),
  spentTenths: fc.nat(10),
})

test('a step that changed files asks for a checkpoint, one that changed nothing does not', () => {
  const fresh = beginTriggers(0, false, NOTHING_SPENT)
  const after = (filesChanged: boolean): string | null => {
    const at: QuietPoint = { kind: 'step-ended', filesChanged }
    return decideCheckpoint(SETTINGS, observe(fresh, at), at, 1000, NOTHING_SPENT)
  }
  assert.deepEqual([after(true), after(false)], ['files-changed', null])
})

test('a change whose checkpoint failed is caught by the next model response', () => {
  const first: QuietPoint = { kind: 'step-ended', filesChanged: true }
  const second: QuietPoint = { kind: 'step-ended', filesChanged: false }
  const missed = observe(observe(beginTriggers(0, false, NOTHING_SPENT), first), second)
  assert.equal(decideCheckpoint(SETTINGS, missed, second, 1000, NOTHING_SPENT), 'model-response')
})

test('every tenth of the budget asks once', () => {
  const at: QuietPoint = { kind: 'step-ended', filesChanged: false }
  const spent = (spentNanoUsd: bigint): Money => ({ spentNanoUsd, limitNanoUsd: 1000n })
  let now = beginTriggers(0, false, spent(0n))
  const asked = [50n, 99n, 100n, 150n, 350n, 399n, 1000n, 1500n].map((amount) => {
    now = observe(now, at)
    const trigger = decideCheckpoint(SETTINGS, now, at, 0, spent(amount))
    if (trigger) now = checkpointTaken(now, 0, spent(amount))
    return trigger
  })
  assert.deepEqual(asked, [null, null, 'budget', null, 'budget', null, 'budget', null])
})

test('the hour-glass runs from the last checkpoint, and 0 is none', () => {
  const at: QuietPoint = { kind: 'step-ended', filesChanged: false }
  const now = observe(beginTriggers(0, false, NOTHING_SPENT), at)
  assert.equal(decideCheckpoint(SETTINGS, now, at, 59_999, NOTHING_SPENT), null)
  assert.equal(decideCheckpoint(SETTINGS, now, at, 60_000, NOTHING_SPENT), 'interval')
  assert.equal(decideCheckpoint({ intervalSeconds: 0 }, now, at, 60_000, NOTHING_SPENT), null)
})

test('a risky command asks only when something is not kept yet', () => {
  const fresh = beginTriggers(0, false, NOTHING_SPENT)
  const at = (filesChanged: boolean): QuietPoint => ({ kind: 'before-command', command: 'rm -rf x', filesChanged })
  assert.equal(decideCheckpoint(SETTINGS, observe(fresh, at(false)), at(false), 0, NOTHING_SPENT), null)
  assert.equal(decideCheckpoint(SETTINGS, observe(fresh, at(true)), at(true), 0, NOTHING_SPENT), 'risky-command')
})

test('right after a checkpoint no quiet point asks for another one', () => {
  fc.assert(
    fc.property(state, point, money, fc.nat(200_000), (before, at, spent, nowMs) => {
      const quiet = checkpointTaken(observe(before, at), nowMs, spent)
      const again: QuietPoint = at.kind === 'step-ended' || at.kind === 'before-command' ? { ...at, filesChanged: false } : at
      assert.equal(decideCheckpoint(SETTINGS, quiet, again, nowMs, spent), null)
    }),
  )
})

test('whatever changed is asked for by the end of the run at the latest', () => {
  fc.assert(
    fc.property(fc.array(point, { maxLength: 20 }), money, (points, spent) => {
      let now = beginTriggers(0, false, spent)
      let isKept = true
      for (const at of [...points, { kind: 'run-ended' } as const]) {
        now = observe(now, at)
        if ('filesChanged' in at && at.filesChanged) isKept = false
        if (decideCheckpoint(SETTINGS, now, at, 0, spent) === null) continue
        now = checkpointTaken(now, 0, spent)
        isKept = true
      }
      assert.equal(isKept, true)
    }),
  )
})

test('the untouched source comes first, at whatever quiet point', () => {
  fc.assert(fc.property(state, point, money, (before, at, spent) => decideCheckpoint(SETTINGS, { ...before, startPending: true }, at, 0, spent) === 'start'))
})

test('tenths of the limit lie between 0 and 10 and never fall while money is spent', () => {
  fc.assert(
    fc.property(money, fc.bigInt(0n, 2000n), (before, more) => {
      const [tenths, later] = [tenthsOf(before), tenthsOf({ ...before, spentNanoUsd: before.spentNanoUsd + more })]
      assert.ok(tenths >= 0 && later <= 10 && tenths <= later)
    }),
  )
})
