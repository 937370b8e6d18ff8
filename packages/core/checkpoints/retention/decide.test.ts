/** Retention: what the rules keep, what is needed whatever they say, and that no clock makes more go than they say. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CheckpointId, RetentionRules } from '@autovibe/contract'
import fc from 'fast-check'
import { decideRetention } from './decide.ts'
import { type CheckpointFact, newestFirst, readLines } from './lines.ts'
import { checkpointId, fact, factsArbitrary, HOUR_MS, machineId, NOW_MS, rulesArbitrary } from './testing.ts'

const NONE: RetentionRules = { keep_last: 1, hourly: 0, daily: 0, weekly: 0 }
const kept = (facts: readonly CheckpointFact[], rules: RetentionRules, nowMs = NOW_MS): Set<CheckpointId> =>
  new Set(decideRetention(facts, rules, nowMs).flatMap(({ fact: { id }, verdict }) => (verdict === 'keep' ? [id] : [])))
const ids = (...numbers: number[]): CheckpointId[] => numbers.map(checkpointId)
/** Each at so many hours before now, oldest first, one line on one machine. */
const hoursBack = (...hours: number[]): CheckpointFact[] => hours.map((hour, n) => fact(n, { createdAtMs: NOW_MS - hour * HOUR_MS }))
const holds = (check: (facts: CheckpointFact[], rules: RetentionRules) => void): void =>
  fc.assert(fc.property(factsArbitrary, rulesArbitrary, check), { numRuns: 400 })
const applied = (facts: readonly CheckpointFact[], rules: RetentionRules): CheckpointFact[] => {
  const stay = kept(facts, rules)
  return facts.map((one) => (stay.has(one.id) ? one : { ...one, state: 'expired' }))
}

test('nothing that is needed ever expires', () =>
  holds((facts, rules) => {
    const stay = kept(facts, rules)
    const lines = readLines(facts)
    for (const one of facts) {
      if (one.state === 'expired') continue
      const isNeeded = one.pinned || one.headOf !== null || one.usedBy !== null || ['pending', 'capturing', 'stored'].includes(one.state)
      assert.ok(!isNeeded || stay.has(one.id), one.id)
      // What the next capture builds on: the nearest that can be restored, above one that is on its way, at or above a head.
      const from = one.headOf !== null ? one.id : ['pending', 'capturing', 'stored'].includes(one.state) ? one.parentId : null
      const base = from === null ? null : lines.get(from)?.restorable
      assert.ok(!base || stay.has(base), `${one.id} builds on ${base}`)
    }
  }))

test('where the diff of one that stays begins, that stays as well', () =>
  holds((facts, rules) => {
    const stay = kept(facts, rules)
    for (const { fact: one, diffBase } of readLines(facts).values()) {
      const base = facts.find(({ id }) => id === diffBase)
      if (stay.has(one.id) && base?.state === 'verified') assert.ok(stay.has(diffBase), `${one.id} is compared with ${diffBase}`)
    }
  }))

test('the newest keep_last of each machine stay', () =>
  holds((facts, rules) => {
    const stay = kept(facts, rules)
    const living = [...readLines(facts).values()].filter(({ fact: one }) => one.state !== 'expired').sort(newestFirst)
    for (const ofMachine of Map.groupBy(living, ({ fact: one }) => one.machineId).values())
      for (const { fact: one } of ofMachine.slice(0, rules.keep_last)) assert.ok(stay.has(one.id), one.id)
  }))

test('what stays grows with the rules', () =>
  fc.assert(
    fc.property(factsArbitrary, rulesArbitrary, rulesArbitrary, (facts, rules, more) => {
      const wider = {
        keep_last: rules.keep_last + more.keep_last,
        hourly: rules.hourly + more.hourly,
        daily: rules.daily + more.daily,
        weekly: rules.weekly + more.weekly,
      }
      const stay = kept(facts, wider)
      for (const id of kept(facts, rules)) assert.ok(stay.has(id), id)
    }),
    { numRuns: 400 },
  ))

test('a second look, after the first was carried out, lets nothing more go', () =>
  holds((facts, rules) => assert.deepEqual(kept(applied(facts, rules), rules), kept(facts, rules))))

test('the answer does not depend on the order of the question', () =>
  fc.assert(
    fc.property(
      factsArbitrary.chain((facts) => fc.tuple(fc.constant(facts), fc.shuffledSubarray(facts, { minLength: facts.length }))),
      rulesArbitrary,
      ([facts, shuffled], rules) => {
        // In a circle, which no database holds, the line ends wherever one begins to walk.
        fc.pre(facts.every(({ id, parentId }) => parentId === null || parentId < id))
        assert.deepEqual(decideRetention(shuffled, rules, NOW_MS), decideRetention(facts, rules, NOW_MS))
      },
    ),
    { numRuns: 400 },
  ))

test('a checkpoint whose time has not come yet stays, and takes the place of none whose time has', () =>
  fc.assert(
    fc.property(factsArbitrary, rulesArbitrary, fc.integer({ min: 0, max: 24 * 60 }), (made, rules, hours) => {
      const setBackMs = NOW_MS - hours * HOUR_MS
      const facts = made.map((one): CheckpointFact => ({ ...one, state: 'verified', trigger: 'files-changed', pinned: false, headOf: null, usedBy: null }))
      const isFuture = (one: CheckpointFact) => one.createdAtMs > setBackMs
      const stay = kept(facts, rules, setBackMs)
      for (const one of facts) assert.ok(!isFuture(one) || stay.has(one.id), `${one.id} is from the future`)
      const withoutThem = facts.map((one): CheckpointFact => (isFuture(one) ? { ...one, state: 'expired' } : one))
      for (const id of kept(withoutThem, rules, setBackMs)) assert.ok(stay.has(id), id)
    }),
    { numRuns: 400 },
  ))

test('however many come from the future, the newest of the past stay as if they were not there', () => {
  const past = hoursBack(5, 4, 3, 2, 1)
  const future = Array.from({ length: 30 }, (_, n) => fact(100 + n, { parentId: null, createdAtMs: NOW_MS + (n + 1) * HOUR_MS }))
  const stay = kept([...past, ...future], { ...NONE, keep_last: 2, hourly: 3 })
  for (const id of [...ids(2, 3, 4), ...future.map(({ id }) => id)]) assert.ok(stay.has(id), id)
})

test('what was taken after the clock was set back counts as newer than what it was made from', () => {
  const line = [
    fact(0, { createdAtMs: NOW_MS - 50 * HOUR_MS }),
    fact(1, { createdAtMs: NOW_MS - 2 * HOUR_MS }),
    fact(2, { createdAtMs: NOW_MS - 30 * HOUR_MS }),
  ]
  assert.deepEqual([...kept(line, NONE)].sort(), ids(0, 2))
})

test('of each of the last hours, days and weeks that have any, the newest stays', () => {
  // Now is Monday noon: two of 11 o'clock, Monday 10, two of Sunday, two of Saturday, the Sunday a week before, a Monday long ago.
  const line = hoursBack(24 * 21, 24 * 7 + 13, 49, 48, 26, 25, 2, 0.5, 0.25).map((one) => ({ ...one, parentId: null }))
  assert.deepEqual([...kept(line, { ...NONE, hourly: 2 })].sort(), ids(6, 8))
  assert.deepEqual([...kept(line, { ...NONE, daily: 3 })].sort(), ids(3, 5, 8))
  assert.deepEqual([...kept(line, { ...NONE, weekly: 3 })].sort(), ids(1, 5, 8))
})

test('a failed checkpoint takes no place of one that can be restored', () => {
  const line = [fact(0), fact(1), ...Array.from({ length: 9 }, (_, n) => fact(2 + n, { state: 'failed' }))]
  assert.deepEqual([...kept(line, { ...NONE, keep_last: 2 })].sort(), ids(0, 1, 9, 10))
})

test('each machine counts for itself', () => {
  const facts = [fact(0), fact(1, { machineId: machineId(1), machineName: 'm1', parentId: null }), fact(2), fact(3, { parentId: checkpointId(2) })]
  assert.deepEqual([...kept([...facts.map((one) => ({ ...one, parentId: null }))], NONE)].sort(), ids(1, 3))
})

test('a circle of parents ends', () => {
  const circle = [fact(0, { parentId: checkpointId(2) }), fact(1), fact(2)]
  assert.equal(decideRetention(circle, NONE, NOW_MS).length, 3)
})

test('the reasons are words for people', () => {
  const [newest, , oldest] = decideRetention([fact(0, { trigger: 'start' }), fact(1), fact(2, { headOf: 'calm-owl' })], NONE, NOW_MS)
  assert.deepEqual(newest?.reasons, ['the machine calm-owl stands on it', 'the next checkpoint of calm-owl builds on it', 'it is one of the last 1 of m0'])
  assert.deepEqual(oldest?.reasons, ['diffs of later checkpoints that stay begin there'])
})

test('of imports the newest are kept, though each has a machine of its own', () => {
  const rules = { keep_last: 2, hourly: 0, daily: 0, weekly: 0 }
  const facts = [0, 1, 2].map((n) => fact(n, { machineId: machineId(n), machineName: `import-${n}`, parentId: null, trigger: 'import' }))
  const decided = decideRetention(facts, rules, NOW_MS).map(({ fact: { id }, verdict, reasons }) => [id, verdict, verdict === 'keep' ? reasons : null])
  assert.deepEqual(decided.sort(), [
    [checkpointId(0), 'expire', null],
    [checkpointId(1), 'keep', ['it is one of the last 2 of the imports']],
    [checkpointId(2), 'keep', ['it is one of the last 2 of the imports']],
  ])
})
