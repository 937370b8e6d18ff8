import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_TRIGGERS, type TriggerSettings } from '@autovibe/contract'
import fc from 'fast-check'
import {
  beginTriggers,
  checkpointTaken,
  countsAsRisky,
  type Money,
  type QuietPoint,
  reachQuietPoint,
  sharesOf,
  type TriggerState,
} from './checkpoint-trigger.ts'
import { money, point } from './testing.ts'

const NOTHING_SPENT: Money = { spentNanoUsd: 0n, limitNanoUsd: 1000n }
const SETTINGS: TriggerSettings = { ...DEFAULT_TRIGGERS, every_minutes: 1 }
const STEP: QuietPoint = { kind: 'step-ended', filesChanged: false }
const CHANGE: QuietPoint = { kind: 'step-ended', filesChanged: true }
const END: QuietPoint = { kind: 'run-ended' }

const triggers = ['start', 'risky-command', 'exit', 'files-changed', 'budget', 'interval', 'model-response'] as const
const state: fc.Arbitrary<TriggerState> = fc.record({
  startPending: fc.boolean(),
  filesChanged: fc.boolean(),
  stepsSince: fc.nat(5),
  heldBack: fc.option(fc.constantFrom(...triggers)),
  beganAtMs: fc.nat(100_000),
  lastCheckpointAtMs: fc.option(fc.nat(100_000)),
  spentNanoUsd: fc.bigInt(0n, 2000n),
})

/** Each as [quiet point, ms], one after the other, every checkpoint taken in no time; answers what was asked for. */
function asked(settings: TriggerSettings, ...points: readonly (readonly [QuietPoint, number])[]): (string | null)[] {
  let now = beginTriggers(0, false, NOTHING_SPENT)
  return points.map(([at, nowMs]) => {
    const reached = reachQuietPoint(settings, now, at, nowMs, NOTHING_SPENT)
    now = reached.trigger === null ? reached.state : checkpointTaken(reached.state, nowMs, NOTHING_SPENT)
    return reached.trigger
  })
}

test('a step that changed files asks for a checkpoint, one that changed nothing does not', () => {
  assert.deepEqual([asked(SETTINGS, [CHANGE, 1000]), asked(SETTINGS, [STEP, 1000])], [['files-changed'], [null]])
})

test('a project may want one after each step, or after none', () => {
  assert.deepEqual(asked({ ...SETTINGS, after_response: 'always' }, [STEP, 1], [CHANGE, 2], [STEP, 3]), ['model-response', 'files-changed', 'model-response'])
  assert.deepEqual(asked({ ...SETTINGS, after_response: 'never' }, [STEP, 1], [CHANGE, 2], [END, 3]), [null, null, 'exit'])
})

test('a change whose checkpoint failed is caught by the next model response', () => {
  const missed = reachQuietPoint(SETTINGS, beginTriggers(0, false, NOTHING_SPENT), CHANGE, 1000, NOTHING_SPENT).state
  assert.equal(reachQuietPoint(SETTINGS, missed, STEP, 1000, NOTHING_SPENT).trigger, 'model-response')
})

test('every share of the budget asks once', () => {
  const spent = (spentNanoUsd: bigint): Money => ({ spentNanoUsd, limitNanoUsd: 1000n })
  const askedAt = (every_budget_percent: number, amounts: readonly bigint[]) => {
    let now = beginTriggers(0, false, spent(0n))
    return amounts.map((amount) => {
      const { state: reached, trigger } = reachQuietPoint({ ...SETTINGS, every_budget_percent }, now, STEP, 0, spent(amount))
      now = trigger ? checkpointTaken(reached, 0, spent(amount)) : reached
      return trigger
    })
  }
  assert.deepEqual(askedAt(10, [50n, 99n, 100n, 150n, 350n, 399n, 1000n, 1500n]), [null, null, 'budget', null, 'budget', null, 'budget', null])
  assert.deepEqual(askedAt(30, [299n, 300n, 599n, 600n, 900n, 1000n]), [null, 'budget', null, 'budget', 'budget', null])
  assert.deepEqual(askedAt(0, [100n, 1000n]), [null, null])
})

test('the hour-glass runs from the last checkpoint, and 0 is none', () => {
  assert.deepEqual(asked(SETTINGS, [STEP, 59_999], [STEP, 60_000], [STEP, 119_999], [STEP, 120_000]), [null, 'interval', null, 'interval'])
  assert.deepEqual(asked({ ...SETTINGS, every_minutes: 0 }, [STEP, 6_000_000]), [null])
})

test('a risky command asks only when something is not kept yet, and where the project wants that', () => {
  const at = (filesChanged: boolean, command = 'rm -rf x'): QuietPoint => ({ kind: 'before-command', command, filesChanged })
  assert.deepEqual([asked(SETTINGS, [at(false), 0]), asked(SETTINGS, [at(true), 0])], [[null], ['risky-command']])
  assert.deepEqual(asked({ ...SETTINGS, before_risky: false, risky_patterns: ['rm'] }, [at(true), 0]), [null])
  assert.deepEqual(asked({ ...SETTINGS, risky_patterns: ['make deploy'] }, [at(true, 'make test'), 0], [at(true, 'make deploy'), 0]), [null, 'risky-command'])
  assert.ok(countsAsRisky({ ...SETTINGS, risky_patterns: ['*'] }, 'ls') && !countsAsRisky(SETTINGS, 'ls'))
})

test('at the end the conversation is kept too, unless the project does without it; what changed is kept in any case', () => {
  assert.deepEqual(asked(SETTINGS, [STEP, 0], [END, 0]), [null, 'exit'])
  const short: TriggerSettings = { ...SETTINGS, at_end: false, after_response: 'never' }
  assert.deepEqual(
    [asked(short, [STEP, 0], [END, 0]), asked(short, [CHANGE, 0], [END, 0])],
    [
      [null, null],
      [null, 'exit'],
    ],
  )
})

test('what comes within the floor is taken together at the first quiet point after it, named by the strongest of it', () => {
  const slow: TriggerSettings = { ...SETTINGS, floor_seconds: 30 }
  assert.deepEqual(asked(slow, [CHANGE, 1000], [CHANGE, 2000], [STEP, 30_999], [STEP, 31_000], [STEP, 40_000]), [
    'files-changed',
    null,
    null,
    'files-changed',
    null,
  ])
  // A risk to words alone does not take the name of what was held back before.
  const risk: QuietPoint = { kind: 'before-command', command: 'rm -rf x', filesChanged: false }
  const holding: TriggerState = { ...beginTriggers(0, false, NOTHING_SPENT), stepsSince: 1, heldBack: 'budget', lastCheckpointAtMs: 0 }
  assert.equal(reachQuietPoint(slow, holding, risk, 1, NOTHING_SPENT).state.heldBack, 'budget')
  const command: QuietPoint = { kind: 'before-command', command: 'ls', filesChanged: false }
  assert.deepEqual(asked(slow, [CHANGE, 0], [CHANGE, 1], [command, 2], [command, 30_000]), ['files-changed', null, null, 'files-changed'])
  assert.deepEqual(asked({ ...slow, at_end: false, after_response: 'always' }, [STEP, 0], [STEP, 1], [END, 2]), ['model-response', null, 'exit'])
})

test('right after a checkpoint no quiet point asks for another one', () => {
  fc.assert(
    fc.property(state, point, money, fc.nat(200_000), (before, at, spent, nowMs) => {
      const quiet = checkpointTaken(reachQuietPoint(SETTINGS, before, at, nowMs, spent).state, nowMs, spent)
      const again: QuietPoint = at.kind === 'step-ended' || at.kind === 'before-command' ? { ...at, filesChanged: false } : at
      assert.equal(reachQuietPoint(SETTINGS, quiet, again, nowMs, spent).trigger, null)
    }),
  )
})

test('the untouched source comes first, at whatever quiet point', () => {
  fc.assert(
    fc.property(state, point, money, (before, at, spent) => reachQuietPoint(SETTINGS, { ...before, startPending: true }, at, 0, spent).trigger === 'start'),
  )
})

test('shares of the limit are as many as fit into it at most, and never fall while money is spent', () => {
  fc.assert(
    fc.property(money, fc.bigInt(0n, 2000n), fc.integer({ min: 5, max: 50 }), (before, more, percent) => {
      const [shares, later] = [sharesOf(before, percent), sharesOf({ ...before, spentNanoUsd: before.spentNanoUsd + more }, percent)]
      assert.ok(shares >= 0n && later <= BigInt(Math.floor(100 / percent)) && shares <= later)
    }),
  )
})
