/** What the tests of the store share: a store in a folder of its own, and trees made up of values. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { AutovibeError, type ManifestEntry } from '@autovibe/contract'
import { systemRuntime } from '../../runtime.ts'
import type { TreeChange } from '../../substrates/substrate.ts'
import { createCheckpointStore } from '../directory-store.ts'
import type { CheckpointStore } from '../store.ts'

export const never = new AbortController().signal
export const withCode =
  (code: string, retryable?: boolean) =>
  (error: unknown): boolean =>
    error instanceof AutovibeError && error.code === code && (retryable === undefined || error.retryable === retryable)

export async function setUp(t: TestContext): Promise<{ dataDir: string; tree: string; store: CheckpointStore; folder: (name: string) => string }> {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-store-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  const dataDir = join(base, 'data')
  const tree = join(base, 'tree')
  await mkdir(dataDir)
  await mkdir(tree)
  const store = await createCheckpointStore({ dataDir, runtime: systemRuntime })
  return { dataDir, tree, store, folder: (name) => join(base, name) }
}

export const put = (path: string, content: Uint8Array | string, more: Partial<ManifestEntry> = {}): TreeChange => {
  const bytes = Buffer.from(content)
  return {
    kind: 'put',
    entry: { path, type: 'file', mode: 0o644, size: bytes.length, mtime_ms: 1, link_target: null, ...more },
    open: () => Readable.from([bytes], { objectMode: false }),
  }
}
export const folderEntry = (path: string): TreeChange => put(path, '', { type: 'directory', mode: 0o755 })

export async function objectFiles(dataDir: string): Promise<string[]> {
  const all = await readdir(join(dataDir, 'store', 'objects'), { recursive: true, withFileTypes: true })
  return all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name))
}
