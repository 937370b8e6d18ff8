import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { renderReport } from './render.ts'
import { difference, figure, figureOfRounds, quantile, type Report, targetAtMostTimes, targetBelow, targetTimes } from './report.ts'

test('a figure names the median, the ninth tenth and its ratio to the baseline beside it', () => {
  const bare = figure('bare', [2, 4, 6])
  const ours = figure('ours', [30, 10, 20, 40, 50], { beside: bare })
  deepEqual([ours.n, ours.p50, ours.p90, ours.min, ours.max], [5, 30, 46, 10, 50])
  deepEqual([ours.baseline, ours.ratio], ['bare', 7.5])
  equal(difference('added', ours, bare).p50, 26)
})

test('a figure of rounds has the median of their medians, so that one disturbed round does not decide', () => {
  const calm = figureOfRounds('calm', [
    [1, 2, 3],
    [2, 3, 4],
    [100, 200, 300],
  ])
  deepEqual([calm.n, calm.p50, calm.min, calm.max], [9, 3, 1, 300])
  equal(figureOfRounds('slow', [[6], [9]], { beside: calm }).ratio, 2.5)
})

test('a figure without samples is refused instead of being shown as a number', () => {
  throws(() => figure('nothing', []), RangeError)
})

test('a quantile lies between the least and the greatest sample and grows with its share', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 }), (samples) => {
      const sorted = samples.sort((a, b) => a - b)
      const [low, high] = [quantile(sorted, 0.5), quantile(sorted, 0.9)]
      ok((sorted[0] ?? 0) <= low && low <= high * (1 + 1e-12) && high <= (sorted.at(-1) ?? 0) * (1 + 1e-12))
    }),
  )
})

test('a target is held by what was measured and missed when the goal is only just reached', () => {
  equal(targetBelow('t', figure('f', [149]), 150).held, true)
  equal(targetBelow('t', figure('f', [150]), 150).held, false)
})

test('a target is judged by what was measured, not by how the figure is rounded for show', () => {
  equal(targetBelow('t', figure('f', [149.6]), 150).held, true)
})

test('a target of a ratio is held from the goal on, and missed when there was nothing to compare with', () => {
  equal(targetTimes('t', figure('f', [16]), figure('g', [2]), 8).held, true)
  equal(targetTimes('t', figure('f', [15.9]), figure('g', [2]), 8).held, false)
  equal(targetTimes('t', figure('f', [16]), null, 8).held, false)
})

test('a target of a greatest ratio is held up to the goal, and missed when there was nothing to compare with', () => {
  equal(targetAtMostTimes('t', figure('f', [2.1]), figure('g', [2]), 1.05).held, true)
  equal(targetAtMostTimes('t', figure('f', [2.2]), figure('g', [2]), 1.05).held, false)
  equal(targetAtMostTimes('t', figure('f', [1]), null, 1.05).held, false)
})

test('the table names each figure, its baseline and each verdict', () => {
  const bare = figure('bare', [1])
  const slow = figure('slow', [9], { beside: bare })
  const machine = { cpu: 'a CPU', cores: 2, memory_gib: 4, system: 'Linux', node: 'v24', taken_at: '2026-01-01T00:00:00Z', load_before: 1, load_after: 2 }
  const report: Report = { bench: 'x', quick: true, machine, figures: [bare, slow], targets: [targetBelow('fast enough', slow, 5)], notes: ['a note'] }
  const text = renderReport(report)
  for (const part of ['x (quick)', 'a CPU', 'slow', '9 x', 'MISSED', 'fast enough', 'p50 < 5 ms', 'measured 9 ms', 'a note']) ok(text.includes(part), part)
})
