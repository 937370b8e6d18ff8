/** How a run ended, in a few lines. */
import type { Run } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { type DiffTotals, renderTotals } from './diff.ts'
import { duration, plainBlock, plural, usd } from './text.ts'

export function renderClosing(run: Run, totals: DiffTotals | null, paint: Paint): string[] {
  const left = BigInt(run.limit) - BigInt(run.spent)
  const took = run.started_at !== null && run.ended_at !== null ? ` in ${duration(Date.parse(run.ended_at) - Date.parse(run.started_at))}` : ''
  const summary = run.summary === null ? [] : plainBlock(run.summary).trim().split('\n').slice(0, 40)
  const changed =
    totals === null
      ? 'No verified checkpoint, so no diff.'
      : totals.files === 0
        ? 'Nothing was changed.'
        : `${renderTotals(totals, paint)}. Your checkout is untouched.`
  return [
    ...(summary.length > 0 ? ['', ...summary.map((line) => `  ${line}`), ''] : []),
    `${paint.bold(run.machine_name)}: ${run.state}${took}, ${plural(run.steps, 'step')}, ${usd(run.spent)} of ${usd(run.limit)} spent, ${usd((left < 0n ? 0n : left).toString())} left.`,
    ...(run.agent_reported_cost === null ? [] : [`The agent itself reports ${usd(run.agent_reported_cost)}.`]),
    changed,
  ]
}
