/** The life of a store in small: a capture, its verification, one checkpoint forgotten, collections; for tests in which it is cut off. */
import assert from 'node:assert/strict'
import { systemRuntime } from '../../runtime.ts'
import type { ProjectStore } from '../store.ts'
import { changesOf } from './folder-changes.ts'
import { capture, type Kept, never, put } from './place.ts'

export const noise = (bytes: number): Buffer => systemRuntime.randomBytes(bytes)

/** What it said to be kept, and not to be any more, is noted in `kept`, and `said` of each change of that. */
export async function live(store: ProjectStore, kept: Kept[], said: (kept: readonly Kept[]) => void = () => undefined): Promise<void> {
  const parent = kept.at(-1) ?? null
  const next = await capture(store, parent, changesOf(put('new', noise(2_000)), put('large', noise(1_500_000))))
  kept.push(next)
  said(kept)
  assert.ok((await store.verify(next.manifestSha256, parent?.manifestSha256 ?? null, never)).ok)
  const first = kept[0]
  if (first && first !== next) {
    // Whether it is gone is not known while nobody has answered.
    kept.shift()
    said(kept)
    await store.forget(first.checkpointId)
  }
  for (let look = 0; look < 4; look++) await store.collect(never)
}
