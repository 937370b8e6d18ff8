/** The folder of the store: what lies where, its version, and how a file gets its final name only when it is whole and on the disk. */

import { chmod, mkdir, open, readdir, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import type { Runtime } from '../runtime.ts'
import { errnoOf } from './store-errors.ts'

const FORMAT = 'autovibe-checkpoint-store'
const VERSION = 1
const FORMAT_BYTES_MAX = 4096

export type Kind = 'objects' | 'manifests'
/** How content lies on the disk: `raw` where zstd would not make it smaller. */
export type Form = 'zst' | 'raw'
export interface Stored {
  readonly path: string
  readonly form: Form
  readonly bytes: number
}

export interface Layout {
  readonly root: string
  /** A new name in the folder for what is not whole yet; all of it is deleted at the next opening. */
  temporary(): string
  /** Where the content lies, or null. */
  find(kind: Kind, sha256: string): Promise<Stored | null>
  /** Gives a temporary file, already synced, its final name. The name is safe from a power cut only after `sync`. */
  publish(temporary: string, kind: Kind, sha256: string, form: Form): Promise<void>
  /** Makes the names of these contents durable, whoever gave them: one fsync for each folder. */
  sync(kind: Kind, sha256s: Iterable<string>): Promise<void>
}

/**
 * Opens the store below `dataDir`, or makes it; the caller holds the data directory for itself, for whatever a dead capture left is deleted.
 * `hub.data_version` for a store of another version.
 */
export async function openLayout(dataDir: string, runtime: Runtime): Promise<Layout> {
  const root = join(dataDir, 'store')
  const tmp = join(root, 'tmp')
  await mkdir(tmp, { recursive: true, mode: 0o700 })
  await chmod(root, 0o700)
  for (const name of await readdir(tmp)) await rm(join(tmp, name), { recursive: true, force: true })
  const opening = runtime.randomBytes(8).toString('hex')
  let count = 0
  const temporary = (): string => join(tmp, `${opening}-${++count}`)
  if (!(await hasFormat(root))) {
    const file = temporary()
    await writeDurable(file, Buffer.from(`${JSON.stringify({ format: FORMAT, version: VERSION })}\n`))
    await rename(file, join(root, 'format'))
  }
  for (const kind of ['objects', 'manifests']) await mkdir(join(root, kind), { recursive: true, mode: 0o700 })
  await syncFolder(root)
  await syncFolder(dataDir)
  return layoutOf(root, temporary)
}

function layoutOf(root: string, temporary: () => string): Layout {
  const folders = new Map<string, Promise<void>>()
  const folder = (kind: Kind, prefix: string): Promise<void> => {
    const path = join(root, kind, prefix)
    let made = folders.get(path)
    if (made === undefined) {
      made = mkdir(path, { recursive: true, mode: 0o700 }).then(() => undefined)
      made.catch(() => folders.delete(path))
      folders.set(path, made)
    }
    return made
  }
  const finalPath = (kind: Kind, sha256: string, form: Form): string => join(root, kind, sha256.slice(0, 2), `${sha256}.${form}`)
  return {
    root,
    temporary,
    async find(kind, sha256) {
      for (const form of ['zst', 'raw'] as const) {
        const path = finalPath(kind, sha256, form)
        const bytes = await sizeOf(path)
        if (bytes !== null) return { path, form, bytes }
      }
      return null
    },
    async publish(file, kind, sha256, form) {
      await folder(kind, sha256.slice(0, 2))
      await rename(file, finalPath(kind, sha256, form))
    },
    async sync(kind, sha256s) {
      const prefixes = [...new Set(Array.from(sha256s, (sha256) => sha256.slice(0, 2)))]
      await Promise.all(prefixes.map((prefix) => syncFolder(join(root, kind, prefix))))
      await syncFolder(join(root, kind))
    },
  }
}

/** Writes a new file of mode 0600 and waits until it is on the disk; leaves nothing when that fails. */
export async function writeDurable(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(path, bytes, { flag: 'wx', mode: 0o600, flush: true })
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

/** Deletes what was not published. */
export async function discard(temporary: string): Promise<void> {
  await unlink(temporary).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error
  })
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}

async function hasFormat(root: string): Promise<boolean> {
  const path = join(root, 'format')
  const size = await sizeOf(path)
  if (size === null) {
    const names = (await readdir(root)).filter((name) => name !== 'tmp')
    if (names.length > 0) throw otherVersion(root, 'has no format file')
    return false
  }
  if (size > FORMAT_BYTES_MAX) throw otherVersion(root, 'has a format file that is not ours')
  const text = await readFile(path, 'utf8')
  const found = /^\{"format":"([a-z-]{1,100})","version":(\d{1,9})\}\n$/.exec(text)
  if (found?.[1] !== FORMAT) throw otherVersion(root, 'has a format file that is not ours')
  if (Number(found[2]) !== VERSION) throw otherVersion(root, `is of version ${found[2]}; this autovibe knows version ${VERSION}`)
  return true
}

const otherVersion = (root: string, what: string): AutovibeError =>
  new AutovibeError('hub.data_version', `The checkpoint store ${root} ${what}.`, {
    fix: 'Run the autovibe that wrote it, or point --data-dir at another directory.',
  })
