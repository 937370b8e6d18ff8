/** The files of a project that differ between two checkpoints, one after the other, as the manifests tell it. */
import type { ManifestEntry } from '@autovibe/contract'
import { differenceAt, type EntryDifference, filesOnly } from '@autovibe/core/checkpoints/diff.ts'
import type { ProjectStore } from '../store.ts'

export const PROJECT = { within: 'project/', leaveOut: ['.git'] }
/** So many are remembered from one walk to the next; more are walked again. A path takes at most 16 KiB. */
const REMEMBERED = { changes: 10_000, pathChars: 4 * 1024 * 1024 }

export interface Trees {
  readonly store: ProjectStore
  readonly beforeManifestSha256: string
  readonly afterManifestSha256: string
  readonly signal: AbortSignal
}

/** May be walked several times, one after the other. */
export class Changes {
  readonly #trees: Trees
  #remembered: readonly EntryDifference[] | null = null

  constructor(trees: Trees) {
    this.#trees = trees
  }

  /** In the order of their paths' bytes, without what only its time tells apart; rejects with the signal's reason. */
  async *[Symbol.asyncIterator](): AsyncGenerator<EntryDifference, void> {
    if (this.#remembered !== null) return yield* this.#remembered
    const { store, beforeManifestSha256, afterManifestSha256, signal } = this.#trees
    let seen: EntryDifference[] | null = []
    let pathChars = 0
    for await (const { before, after } of store.difference(beforeManifestSha256, afterManifestSha256)) {
      signal.throwIfAborted()
      const difference = differenceAt(before, after, PROJECT)
      const change = difference && filesOnly(difference)
      if (change === null) continue
      pathChars += change.path.length
      if (seen !== null && (seen.length >= REMEMBERED.changes || pathChars > REMEMBERED.pathChars)) seen = null
      seen?.push(change)
      yield change
    }
    this.#remembered = seen
  }
}

/** Whether git would take it for the same blob. */
export const isSameContent = (before: ManifestEntry, after: ManifestEntry): boolean =>
  before.type === after.type && before.sha256 === after.sha256 && before.link_target === after.link_target
