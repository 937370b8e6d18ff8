/** The changes between two checkpoints as a reviewer reads them, one file after the other: only the file at hand, a few small ones that come next and the names that renames need are held. */
import type { DiffDetail, DiffTotals, FileChange } from '@autovibe/contract'
import type { EntryDifference } from '@autovibe/core/checkpoints/diff.ts'
import { ignoredBy } from '../ignored.ts'
import { ahead } from './ahead.ts'
import { Changes, PROJECT, type Trees } from './changes.ts'
import { type Sides, sidesOf } from './contents.ts'
import { filePatch, type Moved, type Patch, withoutContents } from './file-patch.ts'
import { findRenames, NO_RENAMES, type Renames } from './find-renames.ts'
import { newEffort } from './unified-text.ts'

/** A bucket answers late: the contents of small files are on their way before their turn. Larger ones are read when it comes. */
const AHEAD = { files: 8, fileBytes: 64 * 1024 }

export interface DiffWish {
  readonly detail: DiffDetail
  /** Whether a file that went and one that came are shown as one that was renamed. */
  readonly renames: boolean
}

/**
 * What changed in the project folder, sorted by path (a renamed file by its new one); the totals at the end. Folders are not listed. All patches joined are one patch for
 * `git apply`. `checkpoint.corrupt` when a manifest or a content that is needed is damaged.
 */
export async function* diffCheckpoints(trees: Trees, { detail, renames: isWanted }: DiffWish): AsyncGenerator<FileChange, DiffTotals> {
  const { store, beforeManifestSha256, signal } = trees
  const changes = new Changes(trees)
  const isIgnored = ignoredBy(store, beforeManifestSha256, PROJECT.within)
  const renames = isWanted ? await findRenames(store, notIgnored(changes, isIgnored), signal) : NO_RENAMES
  const effort = newEffort()
  const totals = { files: 0, ignored: 0, added_lines: 0, removed_lines: 0, renames_limited: renames.isLimited }

  async function begin(change: EntryDifference): Promise<Begun> {
    if (change.status === 'added' && (await isIgnored(change.path))) return { file: { ...toFile(change, NO_RENAMES), ignored: true }, known: IGNORED }
    const file = { ...toFile(change, renames), ignored: false }
    const known = withoutContents(movedOf(file), detail)
    const isSmall = [file.before, file.after].every((entry) => entry === null || entry.size <= AHEAD.fileBytes)
    return known === null && isSmall ? { file, known, sides: await sidesOf(store, file.before, file.after) } : { file, known }
  }

  for await (const { begun } of ahead(stillThere(changes, renames), AHEAD.files, begin)) {
    const { file, known, sides } = await begun
    const patch = known ?? (await filePatch(movedOf(file), sides ?? (await sidesOf(store, file.before, file.after)), detail, effort))
    totals[file.ignored ? 'ignored' : 'files']++
    totals.added_lines += patch.added_lines
    totals.removed_lines += patch.removed_lines
    yield { ...file, ...patch }
  }
  return totals
}

interface Begun {
  readonly file: ReturnType<typeof toFile> & { readonly ignored: boolean }
  readonly known: Patch | null
  readonly sides?: Sides
}

const IGNORED: Patch = { patch: null, no_patch: 'ignored', binary: null, added_lines: 0, removed_lines: 0 }

/** New files that the project's own .gitignore named before are nobody's work. */
async function* notIgnored(changes: Changes, isIgnored: (path: string) => Promise<boolean>): AsyncGenerator<EntryDifference, void> {
  for await (const change of changes) if (change.status !== 'added' || !(await isIgnored(change.path))) yield change
}

/** Without what is told where it went. */
async function* stillThere(changes: Changes, { sources }: Renames): AsyncGenerator<EntryDifference, void> {
  for await (const change of changes) if (change.status !== 'removed' || !sources.has(change.path)) yield change
}

const movedOf = (file: ReturnType<typeof toFile>): Moved => ({
  path: file.path,
  from: file.renamed_from,
  percent: file.similarity,
  before: file.before,
  after: file.after,
})

function toFile({ path, status, before, after }: EntryDifference, { byPath }: Renames) {
  const rename = status === 'added' ? byPath.get(path) : undefined
  if (rename === undefined) return { path, status, renamed_from: null, similarity: null, before, after }
  return { path, status: 'renamed', renamed_from: rename.from.path, similarity: rename.percent, before: rename.from.entry, after } as const
}
