/** Which checkpoints stay and what they take, for people. */
import { type ProjectStorage, type RetainedCheckpoint, type RetentionPlan, retentionInWords } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { age, bytes, plain, plural, table } from './text.ts'

export type NamedStorage = ProjectStorage & { readonly project: string }

/** What goes, then what stays, each with its reason. */
export function renderPlan({ rules, expire, keep }: RetentionPlan, project: string, nowMs: number, paint: Paint): string[] {
  return [
    `project ${project} keeps ${retentionInWords(rules)}.`,
    '',
    expire.total === 0 ? 'Nothing would expire.' : paint.bold(`${plural(expire.total, 'checkpoint')} would expire:`),
    ...rows(expire, nowMs),
    '',
    keep.total === 0 ? 'There is none that stays.' : paint.bold(`${plural(keep.total, 'checkpoint')} ${keep.total === 1 ? 'stays' : 'stay'}:`),
    ...rows(keep, nowMs),
  ]
}

function rows({ total, items }: RetentionPlan['keep'], nowMs: number): string[] {
  if (items.length === 0) return []
  const cells = items.map(({ id, machine_name, created_at, bytes: size, reasons }: RetainedCheckpoint) => [
    id,
    machine_name,
    age(created_at, nowMs),
    size === null ? '-' : bytes(size),
    plain(reasons.join('; ')),
  ])
  const more = total - items.length
  return [...table(['CHECKPOINT', 'MACHINE', 'AGE', 'SIZE', 'WHY'], cells), ...(more > 0 ? [`… and ${more} more`] : [])].map((line) => `  ${line}`)
}

/** One line: how much smaller the store is than its trees, and which part of that is equal contents, which compression. */
export function renderStorage({ project, checkpoints, logical_bytes, unique_bytes, stored_bytes }: NamedStorage): string {
  const whole = `project ${project}: ${plural(checkpoints, 'checkpoint')} of ${bytes(logical_bytes)} in all, ${bytes(stored_bytes)} in the store`
  if (stored_bytes === 0 || unique_bytes === 0) return whole
  // Checkpoints have expired since: there are no equal contents to speak of among what is left.
  if (unique_bytes > logical_bytes) return `${whole}, with what no checkpoint needs any more`
  const ratio = (of: number, to: number) => (of / to).toFixed(1)
  return `${whole}: ${ratio(logical_bytes, stored_bytes)} times smaller (${ratio(logical_bytes, unique_bytes)} by equal contents × ${ratio(unique_bytes, stored_bytes)} by compression)`
}
