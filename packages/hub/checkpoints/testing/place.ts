/** What the tests of the store share: a store in a folder of its own, and trees made up of values. */
import { mkdir, mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { AutovibeError, type CheckpointId, type ManifestEntry } from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'
import { systemRuntime } from '../../runtime.ts'
import { createSecrets } from '../../security/secrets.ts'
import type { TreeChange } from '../../substrates/substrate.ts'
import { openFolder } from '../backends/folder.ts'
import { openFolderStore } from '../create-checkpoint-store.ts'
import { projectKey } from '../project-keys.ts'
import { decodeList } from '../segments/chunk-list.ts'
import type { Kind } from '../segments/format.ts'
import { projectFolder, segmentName } from '../segments/names.ts'
import { ObjectStore } from '../segments/object-store.ts'
import type { Captured, ProjectStore } from '../store.ts'

export const never = new AbortController().signal
export const withCode =
  (code: string, retryable?: boolean) =>
  (error: unknown): boolean =>
    error instanceof AutovibeError && error.code === code && (retryable === undefined || error.retryable === retryable)

/** One project of one Hub for all the tests and their processes, so that a store can be opened again. */
export const PROJECT = encodeId('project', 0, new Uint8Array(10))
export const SECRETS = createSecrets(Buffer.alloc(32, 'a master key'))
export const openStore = async (dataDir: string): Promise<ProjectStore> => (await openFolderStore(dataDir, SECRETS)).of(PROJECT)

export type Kept = Captured & { readonly checkpointId: CheckpointId }

/** Under a name of its own. */
export async function capture(store: ProjectStore, parent: Kept | null, changes: AsyncIterable<TreeChange>, signal: AbortSignal = never): Promise<Kept> {
  const checkpointId = systemRuntime.newId('checkpoint')
  return { ...(await store.capture({ checkpointId, parent, changes }, signal)), checkpointId }
}

export async function setUp(t: TestContext): Promise<{ dataDir: string; tree: string; store: ProjectStore; folder: (name: string) => string }> {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-store-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  const dataDir = join(base, 'data')
  const tree = join(base, 'tree')
  await mkdir(dataDir)
  await mkdir(tree)
  const store = await openStore(dataDir)
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

/** The segments of the project. */
export const segmentFiles = (dataDir: string): Promise<string[]> => filesBelow(join(dataDir, 'store', projectFolder(PROJECT), 'segments'))
/** The names that checkpoints are kept by. */
export const refFiles = (dataDir: string): Promise<string[]> => filesBelow(join(dataDir, 'store', projectFolder(PROJECT), 'refs'))

async function filesBelow(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name))
}

/** The objects of the project, as they lie there now. */
async function objectsOf(dataDir: string): Promise<{ objects: ObjectStore; key: Buffer }> {
  const backend = await openFolder(join(dataDir, 'store'), { isOwn: false })
  const key = await projectKey(backend, SECRETS, PROJECT)
  return { objects: await ObjectStore.open(backend, projectFolder(PROJECT), key), key }
}

export const keyOf = async (dataDir: string): Promise<Buffer> => (await objectsOf(dataDir)).key

interface Sealed {
  readonly name: string
  readonly offset: number
  readonly length: number
}

function sealedPlace(objects: ObjectStore, kind: Kind, sha256: string): Sealed {
  const place = objects.locate(kind, sha256)
  if (place === null) throw new Error(`${kind} ${sha256} is not in the store`)
  return { name: segmentName(projectFolder(PROJECT), place.segmentId), offset: place.offset, length: place.length }
}

/** Where the record lies that holds the object. */
export const locate = async (dataDir: string, kind: Kind, sha256: string): Promise<Sealed> => sealedPlace((await objectsOf(dataDir)).objects, kind, sha256)

/** Flips a bit in the middle of an object, or of the second chunk that a list names. */
export async function damage(dataDir: string, kind: Kind, sha256: string, what: 'itself' | 'chunk'): Promise<void> {
  const { objects } = await objectsOf(dataDir)
  const target =
    what === 'itself' ? { kind, sha256 } : { kind: 'content' as const, sha256: decodeList(sha256, await objects.read(kind, sha256))[1]?.sha256 ?? '' }
  const place = sealedPlace(objects, target.kind, target.sha256)
  const file = await open(join(dataDir, 'store', place.name), 'r+')
  try {
    const at = place.offset + (place.length >> 1)
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at)
    await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, at)
  } finally {
    await file.close()
  }
}
