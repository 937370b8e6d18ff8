/** A changed file for people: its patch, its line in a list, its place in the sum. */
import type { DiffTotals, FileChange } from '@autovibe/contract'
import { decodeManifestPath } from '../git/paths.ts'
import type { Paint } from '../output.ts'
import { bytes, plain, plainBlock, plural } from './text.ts'

export type Sum = Pick<DiffTotals, 'files' | 'added_lines' | 'removed_lines'>

export const renderTotals = (totals: Sum, paint: Paint): string =>
  `${paint.green(`+${totals.added_lines}`)} ${paint.red(`−${totals.removed_lines}`)} in ${plural(totals.files, 'file')}`

/** Control characters in its patch are made harmless; a file without one is named in a line. */
export function renderFile(file: FileChange, paint: Paint): string[] {
  if (file.patch !== null && file.patch !== '') return patchLines(file.patch, paint)
  const from = file.renamed_from === null ? '' : `${plain(file.renamed_from)} -> `
  return [paint.dim(`# ${file.status} ${from}${plain(file.path)}: ${withoutPatch(file)}`)]
}

const NUMBER_WIDTH = 6

/** One line for `--stat`. */
export function renderStat(file: FileChange, paint: Paint): string {
  const numbers = [paint.green(`+${file.added_lines}`.padStart(NUMBER_WIDTH)), paint.red(`−${file.removed_lines}`.padStart(NUMBER_WIDTH))].join(' ')
  const what = file.binary === true || file.no_patch === 'refused_by_git' ? file.status.padStart(2 * NUMBER_WIDTH + 1) : numbers
  return ` ${what}  ${file.renamed_from === null ? '' : `${plain(file.renamed_from)} -> `}${plain(file.path)}`
}

/** One line for `--name-status`, in git's own form: a letter, then the name (the old and the new one), with tabs between. */
export function renderStatus({ status, path, renamed_from, similarity, before, after }: FileChange): string {
  if (renamed_from !== null) return `R${String(similarity).padStart(3, '0')}\t${quoteName(renamed_from)}\t${quoteName(path)}`
  const isOfOtherType = before !== null && after !== null && before.type !== after.type
  return `${status === 'added' ? 'A' : status === 'removed' ? 'D' : isOfOtherType ? 'T' : 'M'}\t${quoteName(path)}`
}

const ESCAPES: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '"': '\\"', '\\': '\\\\' }

/** As git writes a name in a line: in quotes where a byte needs it, so that every name is one line of plain text. */
function quoteName(path: string): string {
  const latin1 = (decodeManifestPath(path) ?? Buffer.from(path)).toString('latin1')
  const quoted = latin1.replace(/[^\x20-\x7e]|["\\]/g, (character) => ESCAPES[character] ?? `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`)
  return quoted === latin1 ? latin1 : `"${quoted}"`
}

/** What is said behind the last file. */
export function renderLeftOut({ ignored, renames_limited }: DiffTotals, paint: Paint): string[] {
  return [
    ...(ignored === 0 ? [] : [paint.dim(`# ${plural(ignored, 'new file')} that .gitignore names left out`)]),
    ...(renames_limited ? [paint.dim('# too many files came and went to find all that were renamed')] : []),
  ]
}

function withoutPatch({ before, after, no_patch }: FileChange): string {
  if (no_patch === null) return 'only its permissions'
  const sizes = [before, after].map((entry) => (entry === null ? 'nothing' : bytes(entry.size))).join(' -> ')
  if (no_patch === 'binary') return `binary, ${sizes}`
  if (no_patch === 'too_large') return `too large to be shown, ${sizes}`
  return no_patch === 'refused_by_git' ? 'a path that git refuses' : 'not shown'
}

function patchLines(patch: string, paint: Paint): string[] {
  const lines = plainBlock(patch).replace(/\n$/, '').split('\n')
  return lines.map((line) => {
    if (/^(diff --git|---|\+\+\+|index|new file|deleted file|old mode|new mode|similarity|rename)/.test(line)) return paint.bold(line)
    if (line.startsWith('+')) return paint.green(line)
    if (line.startsWith('-')) return paint.red(line)
    return line.startsWith('@@') ? paint.cyan(line) : line
  })
}
