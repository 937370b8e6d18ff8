/** How a run ended, in a few lines. */
import type { Run } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { renderTotals, type Sum } from './diff.ts'
import { type Shares, sharesOf } from './money.ts'
import { duration, plainBlock, plural, usd } from './text.ts'

export interface Closing {
  readonly run: Run
  /** How many of its steps were interrupted. */
  readonly interrupted: number
  /** Null without a verified checkpoint. */
  readonly totals: Sum | null
}

export function renderClosing({ run, interrupted, totals }: Closing, paint: Paint): string[] {
  const took = run.started_at !== null && run.ended_at !== null ? ` in ${duration(Date.parse(run.ended_at) - Date.parse(run.started_at))}` : ''
  const summary = run.summary === null ? [] : plainBlock(run.summary).trim().split('\n').slice(0, 40)
  const changed =
    totals === null
      ? 'No verified checkpoint, so no diff.'
      : totals.files === 0
        ? 'Nothing was changed.'
        : `${renderTotals(totals, paint)}. Your checkout is untouched.`
  const steps = `${plural(run.steps, 'step')}${interrupted === 0 ? '' : ` (${interrupted} interrupted)`}`
  return [
    ...(summary.length > 0 ? ['', ...summary.map((line) => `  ${line}`), ''] : []),
    `${paint.bold(run.machine_name)}: ${run.state}${took}, ${steps}, ${inWords(sharesOf(run))}.`,
    ...(run.agent_reported_cost === null ? [] : [`The agent itself reports ${usd(run.agent_reported_cost)}.`]),
    changed,
  ]
}

/** What a budget has come to. */
export function inWords({ limit, spent, held, left, over }: Shares): string {
  return [
    `${spent}${limit === null ? '' : ` of ${limit}`} spent`,
    ...(held === '$0.00' ? [] : [`${held} held by model calls under way`]),
    ...(left === null ? [] : [`${left} left`]),
    ...(over === null ? [] : [`${over} above the limit`]),
  ].join(', ')
}
