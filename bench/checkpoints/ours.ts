/** Everything of this bench that touches our checkpoint store: a process that holds it open, as the Hub does, and does one thing after the other. */

import { createReadStream } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeId } from '@autovibe/core/ids.ts'
import { openFolderStore } from '../../packages/hub/checkpoints/create-checkpoint-store.ts'
import type { KeptTree, ProjectStore } from '../../packages/hub/checkpoints/store.ts'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import { createSecrets } from '../../packages/hub/security/secrets.ts'
import type { TreeChange } from '../../packages/hub/substrates/substrate.ts'
import { answerParent } from '../support/child.ts'
import { peakMiBOf } from '../support/peak.ts'
import type { Taken } from './contender.ts'

export type Question =
  | { readonly do: 'open'; readonly dataDir: string }
  /** Over `parent`, or an empty tree; `paths` are what may have changed, null the whole tree. */
  | { readonly do: 'capture'; readonly tree: string; readonly parent: KeptTree | null; readonly paths: readonly string[] | null }
  | { readonly do: 'restore'; readonly manifest: string; readonly to: string }
  /** All of them, in the order in which they were taken. */
  | { readonly do: 'verify'; readonly manifests: readonly string[] }

export interface Answer extends Taken {
  /** Of a capture. */
  readonly kept: KeptTree | null
}

const LOOKS_AT_ONCE = 64
const signal = new AbortController().signal
let store: ProjectStore | null = null

answerParent<Question, Answer>(async (question) => {
  const startedAt = performance.now()
  const kept = await answer(question)
  return { kept, ms: performance.now() - startedAt, peakMiB: peakMiBOf('self') ?? 0 }
})

async function answer(question: Question): Promise<KeptTree | null> {
  if (question.do === 'open') {
    store = (await openFolderStore(question.dataDir, createSecrets(Buffer.alloc(32, 'bench')))).of(encodeId('project', 0, new Uint8Array(10)))
    return null
  }
  if (store === null) throw new Error('the store is not open')
  if (question.do === 'capture') {
    const checkpointId = systemRuntime.newId('checkpoint')
    const tree = { checkpointId, parent: question.parent, changes: changesOf(question.tree, question.paths) }
    return { checkpointId, manifestSha256: (await store.capture(tree, signal)).manifestSha256 }
  }
  if (question.do === 'restore') await store.restore(question.manifest, question.to, signal)
  else await verify(store, question.manifests)
  return null
}

async function* changesOf(tree: string, paths: readonly string[] | null): AsyncGenerator<TreeChange, void> {
  // Sorted, a folder comes before what it holds.
  const all = paths ?? (await readdir(tree, { recursive: true })).sort()
  for (let from = 0; from < all.length; from += LOOKS_AT_ONCE)
    yield* await Promise.all(all.slice(from, from + LOOKS_AT_ONCE).map((path) => changeOf(tree, path)))
}

async function changeOf(tree: string, path: string): Promise<TreeChange> {
  const full = join(tree, path)
  try {
    const stats = await lstat(full)
    const type = stats.isDirectory() ? 'directory' : 'file'
    const entry = { path, type, mode: stats.mode & 0o7777, size: stats.size, mtime_ms: stats.mtimeMs, link_target: null } as const
    return { kind: 'put', entry, open: () => createReadStream(full), hold: () => ({ path: Buffer.from(full), release: () => undefined }) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'remove', path }
    throw error
  }
}

async function verify(from: ProjectStore, manifests: readonly string[]): Promise<void> {
  for (const [index, manifest] of manifests.entries()) {
    const { ok, damaged } = await from.verify(manifest, manifests[index - 1] ?? null, signal)
    if (!ok) throw new Error(`damaged: ${damaged.join(', ')}`)
  }
}
