/** The patch of one file in git's own form: header with modes, rename and blob ids, then hunks for texts and whole contents for anything else. */
import type { DiffDetail, FileChange, ManifestEntry } from '@autovibe/contract'
import { binaryPatch } from './binary-patch.ts'
import { isSameContent } from './changes.ts'
import { CONTENT_BYTES_MAX, isText, type Sides, TEXT_BYTES_MAX } from './contents.ts'
import { blobId, gitFileLine, gitMode, gitName, isRefusedByGit, NO_BLOB } from './git-text.ts'
import { type Effort, unifiedText } from './unified-text.ts'

/** One file with where it came from; at least one side is there. */
export interface Moved {
  readonly path: string
  /** Another path, when it was renamed. */
  readonly from: string | null
  readonly percent: number | null
  readonly before: ManifestEntry | null
  readonly after: ManifestEntry | null
}

export type Patch = Pick<FileChange, 'patch' | 'no_patch' | 'binary' | 'added_lines' | 'removed_lines'>
const NO_LINES = { added_lines: 0, removed_lines: 0 }
const without = (reason: FileChange['no_patch'], binary: boolean | null): Patch => ({ patch: null, no_patch: reason, binary, ...NO_LINES })

/** What can be said without its contents; null when they are needed. */
export function withoutContents({ path, before, after, ...file }: Moved, detail: DiffDetail): Patch | null {
  const sides = [before, after].filter((entry) => entry !== null)
  if (sides.some((entry) => isRefusedByGit(path, entry.type))) return without('refused_by_git', null)
  const hasPatch = detail === 'text' || detail === 'whole'
  if (before !== null && after !== null && isSameContent(before, after)) {
    return hasPatch
      ? { patch: sameContent({ path, before, after, ...file }, before, after), no_patch: null, binary: false, ...NO_LINES }
      : without('not_asked', null)
  }
  if (detail === 'names') return without('not_asked', null)
  const size = Math.max(...sides.map((entry) => entry.size))
  if (size > CONTENT_BYTES_MAX) return without(hasPatch ? 'too_large' : 'not_asked', true)
  return size > TEXT_BYTES_MAX && detail !== 'whole' ? without(hasPatch ? 'binary' : 'not_asked', true) : null
}

/** For what the above leaves open, from both contents. */
export async function filePatch(file: Moved, [old, young]: Sides, detail: DiffDetail, effort: Effort): Promise<Patch> {
  const hasPatch = detail === 'text' || detail === 'whole'
  if (!isText(old) || !isText(young)) {
    if (detail !== 'whole') return without(hasPatch ? 'binary' : 'not_asked', true)
    const bodies = await Promise.all(parts(file, old, young).map(async (part) => header(part) + (await binaryPatch(part.old, part.young))))
    return { patch: bodies.join(''), no_patch: null, binary: true, ...NO_LINES }
  }
  const made = parts(file, old, young).map((part) => textPatch(part, effort))
  const lines = { added_lines: sum(made.map(({ addedLines }) => addedLines)), removed_lines: sum(made.map(({ removedLines }) => removedLines)) }
  return hasPatch ? { patch: made.map(({ patch }) => patch).join(''), no_patch: null, binary: false, ...lines } : { ...without('not_asked', false), ...lines }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)

interface Part extends Moved {
  readonly old: Buffer
  readonly young: Buffer
}

/** git has no change of a file into a link: the one goes, the other comes. */
function parts(file: Moved, old: Buffer, young: Buffer): Part[] {
  if (file.before === null || file.after === null || file.before.type === file.after.type) return [{ ...file, old, young }]
  const none = Buffer.alloc(0)
  return [
    { ...file, after: null, old, young: none },
    { ...file, before: null, old: none, young },
  ]
}

function textPatch(part: Part, effort: Effort): { patch: string; addedLines: number; removedLines: number } {
  const { hunks, addedLines, removedLines } = unifiedText(part.old.toString('utf8'), part.young.toString('utf8'), effort)
  const files =
    gitFileLine('---', part.before === null ? '/dev/null' : gitName('a/', part.from ?? part.path)) +
    gitFileLine('+++', part.after === null ? '/dev/null' : gitName('b/', part.path))
  return { patch: header(part) + (hunks === '' ? '' : files + hunks), addedLines, removedLines }
}

/** Permissions that git does not know change nothing it could apply: no text. */
function sameContent(file: Moved, before: ManifestEntry, after: ManifestEntry): string {
  return file.from === null && gitMode(before) === gitMode(after) ? '' : opening(file)
}

/** With whole blob ids, so that `git apply --3way` finds what the change was made from, and a binary one is sure of it. */
function header(part: Part): string {
  const { before, after } = part
  const same = before !== null && after !== null && gitMode(before) === gitMode(after) ? ` ${gitMode(after)}` : ''
  return `${opening(part)}index ${before === null ? NO_BLOB : blobId(part.old)}..${after === null ? NO_BLOB : blobId(part.young)}${same}\n`
}

function opening({ path, from, percent, before, after }: Moved): string {
  let text = `diff --git ${gitName('a/', from ?? path)} ${gitName('b/', path)}\n`
  if (before === null && after !== null) text += `new file mode ${gitMode(after)}\n`
  else if (before !== null && after === null) text += `deleted file mode ${gitMode(before)}\n`
  else if (before !== null && after !== null && gitMode(before) !== gitMode(after)) text += `old mode ${gitMode(before)}\nnew mode ${gitMode(after)}\n`
  return from === null ? text : `${text}similarity index ${percent}%\nrename from ${gitName('', from)}\nrename to ${gitName('', path)}\n`
}
