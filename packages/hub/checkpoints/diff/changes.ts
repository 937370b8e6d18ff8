/** The files of a project that differ between two checkpoints, one after the other, as the manifests tell it. */
import type { ManifestEntry } from '@autovibe/contract'
import { differenceAt, type EntryDifference, filesOnly } from '@autovibe/core/checkpoints/diff.ts'
import type { ProjectStore } from '../store.ts'

export const PROJECT = { within: 'project/', leaveOut: ['.git'] }

export interface Trees {
  readonly store: ProjectStore
  readonly beforeManifestSha256: string
  readonly afterManifestSha256: string
  readonly signal: AbortSignal
}

/** In the order of their paths' bytes, without what only its time tells apart; rejects with the signal's reason. */
export async function* changesOf({ store, beforeManifestSha256, afterManifestSha256, signal }: Trees): AsyncGenerator<EntryDifference, void> {
  for await (const { before, after } of store.difference(beforeManifestSha256, afterManifestSha256)) {
    signal.throwIfAborted()
    const difference = differenceAt(before, after, PROJECT)
    const change = difference && filesOnly(difference)
    if (change !== null) yield change
  }
}

/** Whether git would take it for the same blob. */
export const isSameContent = (before: ManifestEntry, after: ManifestEntry): boolean =>
  before.type === after.type && before.sha256 === after.sha256 && before.link_target === after.link_target
