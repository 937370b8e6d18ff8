import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CpuSeen, cpuSecondsOf, firstSeen, LATE_S, LOOK_REACH_S, LOOKS_MAX, lookedAt, type Stretch, settled, stretchesOf } from './vm-cpu.ts'

const T0 = 1_800_000_000
const MINUTES = 12
const END = T0 + MINUTES * 60 + 20
const minutesOf = (cores: readonly (number | null)[]): Stretch[] =>
  cores.map((each, index) => ({ fromS: T0 + index * 60, toS: T0 + (index + 1) * 60, cores: each }))
const near = (actual: number, wanted: number): void => assert.ok(Math.abs(actual - wanted) <= 1e-6 * Math.max(1, wanted), `${actual} is not ${wanted}`)

const core = fc.double({ min: 0, max: 8, noNaN: true })
const cores = fc.array(core, { minLength: MINUTES, maxLength: MINUTES })
const gappy = fc.array(fc.option(core), { minLength: MINUTES, maxLength: MINUTES })
const began = fc.integer({ min: T0, max: T0 + 300 })
/** Looks of one after the other, as seconds since the last. */
const looks = fc.array(fc.record({ afterS: fc.double({ min: 0.1, max: 90, noNaN: true }), cores: core }), { maxLength: 40 })

function looked(first: CpuSeen, fromS: number, all: readonly { afterS: number; cores: number }[]): CpuSeen {
  let seen = first
  let atS = fromS
  for (const look of all) {
    atS += look.afterS
    seen = lookedAt(seen, atS, look.cores)
  }
  return seen
}

test('when all minutes are there they alone count, each once, however they came and whatever was seen before', () => {
  fc.assert(
    fc.property(cores, began, looks, fc.array(fc.integer({ min: 0, max: MINUTES }), { maxLength: 6 }), (all, fromS, seenAt, batches) => {
      const minutes = minutesOf(all)
      let seen = looked(firstSeen(fromS), fromS, seenAt)
      for (const until of batches) seen = settled(seen, minutes.slice(0, until).toReversed(), END)
      seen = settled(settled(seen, minutes, END), minutes, END)
      const wanted = minutes.reduce((sum, { fromS: from, toS, cores: busy }) => sum + (busy ?? 0) * Math.max(0, toS - Math.max(from, fromS)), 0)
      near(seen.settledCpuS, wanted)
      assert.equal(seen.settledS, T0 + MINUTES * 60)
    }),
  )
})

test('no stretch counts twice: it is never more than the busiest that was told or seen, all the time', () => {
  fc.assert(
    fc.property(gappy, began, looks, fc.integer({ min: T0, max: END + LATE_S }), (all, fromS, seenAt, nowS) => {
      const most = Math.max(0, ...all.map((each) => each ?? 0), ...seenAt.map((each) => each.cores))
      const seen = looked(settled(looked(firstSeen(fromS), fromS, seenAt), minutesOf(all), nowS), nowS, seenAt)
      const last = Math.max(seen.settledS, seen.looks.at(-1)?.toS ?? 0)
      assert.ok(cpuSecondsOf(seen) <= most * (last - fromS) * (1 + 1e-9) + 1e-9)
    }),
  )
})

test('what was told of a minute counts in full, whatever is missing around it', () => {
  fc.assert(
    fc.property(gappy, began, looks, (all, fromS, seenAt) => {
      const told = minutesOf(all)
      const seen = settled(looked(firstSeen(fromS), fromS, seenAt), told, END + LATE_S)
      const least = told.reduce((sum, { fromS: from, toS, cores: busy }) => sum + (busy ?? 0) * Math.max(0, toS - Math.max(from, fromS)), 0)
      assert.ok(cpuSecondsOf(seen) >= least * (1 - 1e-9))
    }),
  )
})

test('a minute that is missing waits as long as it may still come, and then what was seen stands for it', () => {
  const seen = looked(
    firstSeen(T0),
    T0,
    Array.from({ length: 12 }, () => ({ afterS: 10, cores: 2 })),
  )
  near(cpuSecondsOf(seen), 240)
  const minutes = minutesOf([1, null, 3])
  const early = settled(seen, minutes, T0 + 200)
  assert.deepEqual([early.settledS, early.settledCpuS], [T0 + 60, 60])
  near(cpuSecondsOf(early), 60 + 120)
  const late = settled(early, minutes, T0 + 120 + LATE_S)
  assert.deepEqual([late.settledS, late.looks.length], [T0 + 180, 0])
  near(late.settledCpuS, 60 + 120 + 180)
})

test('a minute that is not over is not taken, and none from before its life is', () => {
  const minutes = minutesOf([1, 1, 1])
  assert.equal(settled(firstSeen(T0 + 90), minutes, T0 + 179).settledCpuS, 30)
  assert.equal(settled(firstSeen(T0 + 500), minutes, T0 + 1000).settledCpuS, 0)
})

test('a hole without any points is as one of missing minutes', () => {
  const [, , third] = minutesOf([1, 1, 1])
  assert.equal(settled(firstSeen(T0), third ? [third] : [], T0 + 200).settledS, T0)
  assert.equal(settled(firstSeen(T0), third ? [third] : [], T0 + 120 + LATE_S).settledCpuS, 60)
})

test('looks reach back only so far, are kept to a bound, and lose nothing by it', () => {
  near(cpuSecondsOf(lookedAt(firstSeen(T0), T0 + 1000, 1)), LOOK_REACH_S)
  const seen = looked(
    firstSeen(T0),
    T0,
    Array.from({ length: 5 * LOOKS_MAX }, () => ({ afterS: 5, cores: 0.5 })),
  )
  assert.equal(seen.looks.length, LOOKS_MAX)
  near(cpuSecondsOf(seen), 5 * LOOKS_MAX * 2.5)
})

test('what is no amount is nothing that was seen or told', () => {
  for (const wrong of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
    assert.equal(cpuSecondsOf(lookedAt(firstSeen(T0), T0 + 10, wrong)), 0)
    assert.equal(settled(firstSeen(T0), minutesOf([wrong]), T0 + 60 + LATE_S).settledCpuS, 0)
  }
  assert.deepEqual(lookedAt(firstSeen(T0), T0 - 5, 1), firstSeen(T0))
})

test('entries of RRD are read by their beginning and the step between them, and what is missing is not known', () => {
  const points = [
    { time: T0 + 60, cpu: 0.5, maxcpu: 4 },
    { time: T0, cpu: 0.25 },
    { time: T0 + 120, maxcpu: 4 },
    { time: T0 + 180, cpu: null, maxcpu: 4 },
    { cpu: 1, maxcpu: 1 },
  ]
  assert.deepEqual(
    stretchesOf(points).map(({ fromS, toS, cores }) => [fromS - T0, toS - T0, cores]),
    [
      [60, 120, 2],
      [0, 60, null],
      [120, 180, null],
      [180, 240, null],
    ],
  )
  assert.deepEqual(stretchesOf([{ time: T0, cpu: 1, maxcpu: 2 }]), [{ fromS: T0, toS: T0 + 60, cores: 2 }])
  assert.deepEqual(stretchesOf([]), [])
})
