/** A diff of the Hub as a patch for people. */
import type { CheckpointDiff, FileChange } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { plain, plainBlock, plural } from './text.ts'

export interface DiffTotals {
  readonly files: number
  readonly added_lines: number
  readonly removed_lines: number
}

export function diffTotals(diff: CheckpointDiff): DiffTotals {
  let added = 0
  let removed = 0
  const files = shown(diff)
  for (const file of files) {
    added += file.added_lines
    removed += file.removed_lines
  }
  return { files: files.length, added_lines: added, removed_lines: removed }
}

export const renderTotals = (totals: DiffTotals, paint: Paint): string =>
  `${paint.green(`+${totals.added_lines}`)} ${paint.red(`−${totals.removed_lines}`)} in ${plural(totals.files, 'file')}`

export interface DiffForm {
  /** Byte for byte, for a program that reads it; a terminal gets control characters made harmless. */
  readonly raw: boolean
}

/** The patches one after the other, which together are one patch for `git apply`; what has no patch is named in a line that git passes over. */
export function renderDiff(diff: CheckpointDiff, paint: Paint, form: DiffForm): string[] {
  const lines = shown(diff).flatMap((file) =>
    file.patch === null || file.patch === '' ? [paint.dim(`# ${file.status} ${plain(file.path)}: ${withoutPatch(file)}`)] : patchLines(file.patch, paint, form),
  )
  const ignored = diff.files.filter((file) => file.ignored).length
  return ignored === 0 ? lines : [...lines, paint.dim(`# ${plural(ignored, 'new file')} that .gitignore names left out`)]
}

export function renderStat(diff: CheckpointDiff, paint: Paint): string[] {
  const files = shown(diff)
  const width = Math.max(0, ...files.map((file) => plain(file.path).length))
  const lines = files.map(
    (file) =>
      ` ${plain(file.path).padEnd(width)}  ${file.patch === null && file.added_lines + file.removed_lines === 0 ? file.status : `${paint.green(`+${file.added_lines}`)} ${paint.red(`−${file.removed_lines}`)}`}`,
  )
  return files.length === 0 ? [] : [...lines, renderTotals(diffTotals(diff), paint)]
}

/** Folders come and go with their files, as in git; what .gitignore names is not part of the change. */
const shown = (diff: CheckpointDiff): FileChange[] => diff.files.filter((file) => !file.ignored && (isContent(file.before) || isContent(file.after)))
const isContent = (entry: FileChange['before']): boolean => entry !== null && entry.type !== 'directory'

function withoutPatch({ before, after }: FileChange): string {
  if (after?.type === 'symlink') return `a link to ${plain(after.link_target ?? '')}`
  if (before && after && before.sha256 === after.sha256) return 'only its permissions'
  return 'not shown, binary or too large'
}

function patchLines(patch: string, paint: Paint, form: DiffForm): string[] {
  const lines = (form.raw ? patch : plainBlock(patch)).replace(/\n$/, '').split('\n')
  return lines.map((line) => {
    if (/^(diff --git|---|\+\+\+|index|new file|deleted file|old mode|new mode)/.test(line)) return paint.bold(line)
    if (line.startsWith('+')) return paint.green(line)
    if (line.startsWith('-')) return paint.red(line)
    return line.startsWith('@@') ? paint.cyan(line) : line
  })
}
