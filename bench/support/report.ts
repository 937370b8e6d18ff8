/** What every bench answers: figures with their baselines beside them, and targets judged by what this run measured. */
import type { MachineFacts } from './machine.ts'

export type Unit = 'ms' | 's' | '1/s' | 'MiB' | 'requests'

export interface Figure {
  readonly name: string
  readonly unit: Unit
  readonly n: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly min: number
  readonly max: number
  /** The figure of the same run that this one stands beside. */
  readonly baseline: string | null
  /** Median over the baseline's median. */
  readonly ratio: number | null
}

export interface Target {
  readonly name: string
  readonly goal: string
  readonly measured: string
  readonly held: boolean
}

export interface Measured {
  readonly figures: readonly Figure[]
  readonly targets: readonly Target[]
  /** How it was taken, where the names of the figures do not say it; one sentence each. */
  readonly notes?: readonly string[]
}

export interface Report extends Measured {
  readonly bench: string
  readonly quick: boolean
  readonly machine: MachineFacts
}

/** One folder's measurement; whatever it starts, it ends, also when it fails. */
export interface Bench {
  measure(options: BenchOptions): Promise<Measured>
}

export interface BenchOptions {
  readonly quick: boolean
  /** Says on standard error what is being measured. */
  readonly progress: (text: string) => void
}

/** A figure from its samples; throws when there are none. */
export function figure(name: string, samples: readonly number[], options: { readonly unit?: Unit; readonly beside?: Figure } = {}): Figure {
  if (samples.length === 0) throw new RangeError(`nothing was measured for ${name}`)
  const sorted = [...samples].sort((a, b) => a - b)
  const p50 = quantile(sorted, 0.5)
  const { unit = 'ms', beside } = options
  return {
    name,
    unit,
    n: sorted.length,
    p50: round(p50),
    p90: round(quantile(sorted, 0.9)),
    p99: round(quantile(sorted, 0.99)),
    min: round(sorted[0] ?? Number.NaN),
    max: round(sorted.at(-1) ?? Number.NaN),
    baseline: beside?.name ?? null,
    ratio: beside ? round(p50 / beside.p50) : null,
  }
}

/** A figure of several rounds: each quantile is the median of what the rounds had, so that one that met other work does not decide. */
export function figureOfRounds(name: string, rounds: readonly (readonly number[])[], options: { readonly unit?: Unit; readonly beside?: Figure } = {}): Figure {
  const each = rounds.map((samples) => figure(name, samples))
  const all = figure(name, rounds.flat(), options)
  const median = (what: 'p50' | 'p90' | 'p99') =>
    figure(
      name,
      each.map((round) => round[what]),
    ).p50
  const p50 = median('p50')
  return { ...all, p50, p90: median('p90'), p99: median('p99'), ratio: options.beside ? round(p50 / options.beside.p50) : null }
}

/** What one figure has beyond another: the difference of their medians and of their other quantiles. */
export function difference(name: string, more: Figure, less: Figure): Figure {
  const by = (what: 'p50' | 'p90' | 'p99' | 'min' | 'max') => round(more[what] - less[what])
  return { name, unit: more.unit, n: more.n, p50: by('p50'), p90: by('p90'), p99: by('p99'), min: by('min'), max: by('max'), baseline: null, ratio: null }
}

/** Held when the figure's median is below `below`, in the figure's own unit. */
export function targetBelow(name: string, of: Figure, below: number): Target {
  return { name, goal: `p50 < ${below} ${of.unit}`, measured: `${brief(of.p50)} ${of.unit}`, held: of.p50 < below }
}

/** Held when the median of one figure is at least so many times that of the other; nothing is held that could not be measured. */
export function targetTimes(name: string, of: Figure, other: Figure | null, times: number): Target {
  const goal = `at least ${times} x`
  if (!other) return { name, goal, measured: 'nothing: see the notes', held: false }
  const ratio = of.p50 / other.p50
  return { name, goal, measured: `${brief(ratio)} x`, held: ratio >= times }
}

/** Held when the median of one figure is at most so many times that of the other; nothing is held that could not be measured. */
export function targetAtMostTimes(name: string, of: Figure, other: Figure | null, times: number): Target {
  const goal = `at most ${times} x`
  if (!other) return { name, goal, measured: 'nothing: see the notes', held: false }
  const ratio = of.p50 / other.p50
  return { name, goal, measured: `${brief(ratio)} x`, held: ratio <= times }
}

/** The value below which this share of the sorted samples lies, interpolated between neighbours. */
export function quantile(sorted: readonly number[], share: number): number {
  const position = (sorted.length - 1) * share
  const low = sorted[Math.floor(position)] ?? Number.NaN
  const high = sorted[Math.ceil(position)] ?? Number.NaN
  return low + (high - low) * (position - Math.floor(position))
}

/** To the microsecond and its like: enough to judge by, short enough to read in a document. */
const round = (value: number): number => Math.round(value * 1000) / 1000

/** For people: three significant digits are more than a shared machine repeats. */
export const brief = (value: number): string => String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)))
