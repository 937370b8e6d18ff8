/** A report as a person reads it. */
import { brief, type Figure, type Report } from './report.ts'

export function renderReport(report: Report): string {
  const { machine } = report
  const head = ['figure', 'n', 'p50', 'p90', 'p99', 'beside', 'ratio']
  const rows = report.figures.map((each) => [
    each.name,
    String(each.n),
    amount(each.p50, each),
    amount(each.p90, each),
    amount(each.p99, each),
    each.baseline ?? '',
    each.ratio === null ? '' : `${brief(each.ratio)} x`,
  ])
  const lines = [
    `${report.bench}${report.quick ? ' (quick)' : ''}: ${machine.cpu}, ${machine.cores} cores, ${machine.memory_gib} GiB, ${machine.system}, Node ${machine.node}`,
    `load average ${machine.load_before} before, ${machine.load_after} after`,
    '',
    ...columns([head, ...rows]),
  ]
  if (report.notes?.length) lines.push('', ...report.notes)
  if (report.targets.length > 0)
    lines.push('', ...columns(report.targets.map(({ held, name, goal, measured }) => [held ? 'held' : 'MISSED', name, goal, `measured ${measured}`])))
  return lines.join('\n')
}

const amount = (value: number, { unit }: Figure): string => `${brief(value)} ${unit}`

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
