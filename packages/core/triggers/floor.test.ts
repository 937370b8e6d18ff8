/** What holds for every project's settings, whatever a run does and whenever the Hub is busy. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TriggerSettings } from '@autovibe/contract'
import fc from 'fast-check'
import { type AutomaticTrigger, beginTriggers, checkpointTaken, type Money, type QuietPoint, reachQuietPoint, type TriggerState } from './checkpoint-trigger.ts'
import { money, point, settings } from './testing.ts'

interface Happening {
  readonly at: QuietPoint
  readonly money: Money
  /** Since the one before. */
  readonly afterMs: number
  /** How long a checkpoint takes here, in ms; null when the Hub stays busy. */
  readonly takesMs: number | null
}
const happening: fc.Arbitrary<Happening> = fc.record({
  at: point,
  money,
  afterMs: fc.nat(90_000),
  takesMs: fc.option(fc.nat(2000), { freq: 4 }),
})
const END: Happening = { at: { kind: 'run-ended' }, money: { spentNanoUsd: 0n, limitNanoUsd: 0n }, afterMs: 0, takesMs: 0 }

interface Reached {
  readonly at: QuietPoint
  readonly nowMs: number
  readonly before: TriggerState
  readonly after: TriggerState
  readonly trigger: AutomaticTrigger | null
  /** What would be asked for here if there were no floor. */
  readonly wanted: AutomaticTrigger | null
  /** The end of the checkpoint before; null when there is none yet. */
  readonly lastMs: number | null
  /** Files that changed in this run and are in no checkpoint, this quiet point's included. */
  readonly hasUnkept: boolean
}

function play(wanted: TriggerSettings, startPending: boolean, happenings: readonly Happening[]): Reached[] {
  let now = beginTriggers(0, startPending, END.money)
  let [nowMs, lastMs, unkept]: [number, number | null, boolean] = [0, null, false]
  return happenings.map(({ at, money: spent, afterMs, takesMs }) => {
    nowMs += afterMs
    if ('filesChanged' in at && at.filesChanged) unkept = true
    const before = now
    const { state, trigger } = reachQuietPoint(wanted, before, at, nowMs, spent)
    const isTaken = trigger !== null && takesMs !== null
    const free = reachQuietPoint({ ...wanted, floor_seconds: 0 }, before, at, nowMs, spent).trigger
    const reached = { at, nowMs, before, after: state, trigger, wanted: free, lastMs, hasUnkept: unkept }
    now = state
    if (isTaken) {
      nowMs += takesMs
      now = checkpointTaken(state, nowMs, spent)
      lastMs = nowMs
      unkept = false
    }
    return reached
  })
}

const anyRun = [settings, fc.boolean(), fc.array(happening, { maxLength: 30 })] as const

test('no two checkpoints are closer than the floor, but for a start, a risk to changes, and an end', () => {
  fc.assert(
    fc.property(...anyRun, (wanted, startPending, happenings) => {
      for (const { trigger, nowMs, lastMs, hasUnkept } of play(wanted, startPending, happenings)) {
        if (trigger === null || lastMs === null || nowMs - lastMs >= wanted.floor_seconds * 1000) continue
        assert.ok(trigger === 'start' || trigger === 'exit' || (trigger === 'risky-command' && hasUnkept), trigger)
      }
    }),
    { numRuns: 3000 },
  )
})

test('whatever changed is asked for by the end of the run at the latest, and what was held back with it', () => {
  fc.assert(
    fc.property(...anyRun, (wanted, startPending, happenings) => {
      const end = play(wanted, startPending, [...happenings, END]).at(-1)
      assert.ok(end)
      if (end.hasUnkept || end.before.heldBack !== null) assert.notEqual(end.trigger, null)
    }),
    { numRuns: 3000 },
  )
})

test('changes are asked for before a risky command, whatever the floor', () => {
  fc.assert(
    fc.property(...anyRun, (wanted, startPending, happenings) => {
      for (const { at, hasUnkept, trigger } of play({ ...wanted, before_risky: true }, startPending, happenings))
        if (at.kind === 'before-command' && at.command === 'rm -rf x' && hasUnkept) assert.ok(trigger === 'risky-command' || trigger === 'start')
    }),
    { numRuns: 3000 },
  )
})

test('what is held back is asked for at the first quiet point after the floor, by a trigger at least as strong, and until then is not forgotten', () => {
  const strength = ['start', 'risky-command', 'exit', 'files-changed', 'budget', 'interval', 'model-response']
  fc.assert(
    fc.property(...anyRun, (wanted, startPending, happenings) => {
      for (const { before, after, nowMs, lastMs, trigger, wanted: free } of play(wanted, startPending, happenings)) {
        if (trigger === null) assert.equal(after.heldBack !== null, free !== null)
        if (before.heldBack === null) continue
        const named = trigger ?? after.heldBack
        assert.ok(named !== null && strength.indexOf(named) <= strength.indexOf(before.heldBack), `${before.heldBack} became ${named}`)
        if (lastMs !== null && nowMs - lastMs >= wanted.floor_seconds * 1000) assert.notEqual(trigger, null)
      }
    }),
    { numRuns: 3000 },
  )
})

test('without a floor nothing is held back', () => {
  fc.assert(
    fc.property(...anyRun, (wanted, startPending, happenings) => {
      for (const { after } of play({ ...wanted, floor_seconds: 0 }, startPending, happenings)) assert.equal(after.heldBack, null)
    }),
  )
})

test('a decision changes no value that it was given, and is the same when made again', () => {
  fc.assert(
    fc.property(...anyRun, (wanted, startPending, happenings) => {
      const inputs = JSON.stringify([wanted, happenings], (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
      const once = play(Object.freeze(wanted), startPending, happenings)
      assert.deepEqual(play(wanted, startPending, happenings), once)
      assert.equal(
        JSON.stringify([wanted, happenings], (_, value) => (typeof value === 'bigint' ? `${value}n` : value)),
        inputs,
      )
    }),
  )
})
