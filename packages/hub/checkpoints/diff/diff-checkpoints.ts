/** The changes between two checkpoints as a reviewer reads them, one file after the other: nothing is held but the file at hand and the names that renames need. */
import type { DiffDetail, DiffTotals, FileChange } from '@autovibe/contract'
import type { EntryDifference } from '@autovibe/core/checkpoints/diff.ts'
import { ignoredBy } from '../ignored.ts'
import { changesOf, PROJECT, type Trees } from './changes.ts'
import { filePatch } from './file-patch.ts'
import { findRenames, NO_RENAMES, type Renames } from './find-renames.ts'
import { newEffort } from './unified-text.ts'

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
  const ignored = new Ignored(trees)
  const renames = isWanted ? await findRenames(trees.store, ignored.without(changesOf(trees)), trees.signal) : NO_RENAMES
  const effort = newEffort()
  const totals = { files: 0, ignored: 0, added_lines: 0, removed_lines: 0, renames_limited: renames.isLimited }
  for await (const change of changesOf(trees)) {
    if (renames.sources.has(change.path) && change.status === 'removed') continue
    if (await ignored.has(change)) {
      totals.ignored++
      yield { ...toFile(change, NO_RENAMES), ignored: true, patch: null, no_patch: 'ignored', binary: null, added_lines: 0, removed_lines: 0 }
      continue
    }
    const file = toFile(change, renames)
    const moved = { path: file.path, from: file.renamed_from, percent: file.similarity, before: file.before, after: file.after }
    const patch = await filePatch(trees.store, moved, detail, effort)
    totals.files++
    totals.added_lines += patch.added_lines
    totals.removed_lines += patch.removed_lines
    yield { ...file, ignored: false, ...patch }
  }
  return totals
}

function toFile({ path, status, before, after }: EntryDifference, { byPath }: Renames) {
  const rename = status === 'added' ? byPath.get(path) : undefined
  if (rename === undefined) return { path, status, renamed_from: null, similarity: null, before, after }
  return { path, status: 'renamed', renamed_from: rename.from.path, similarity: rename.percent, before: rename.from.entry, after } as const
}

/** New files that the project's own .gitignore named before; its files are read when there is a new one. */
class Ignored {
  readonly #trees: Trees
  #rules: Promise<(path: string) => boolean> | null = null

  constructor(trees: Trees) {
    this.#trees = trees
  }

  async has({ path, status }: EntryDifference): Promise<boolean> {
    if (status !== 'added') return false
    this.#rules ??= ignoredBy(this.#trees.store, this.#trees.beforeManifestSha256, PROJECT.within)
    return (await this.#rules)(path)
  }

  async *without(changes: AsyncIterable<EntryDifference>): AsyncGenerator<EntryDifference, void> {
    for await (const change of changes) if (!(await this.has(change))) yield change
  }
}
