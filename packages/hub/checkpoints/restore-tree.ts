/** Writes the tree of a manifest into an empty folder of this host: folders first, contents in the order in which they lie in the store, modes and times last. */
import { createWriteStream } from 'node:fs'
import { chmod, lutimes, mkdir, symlink, utimes } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ManifestEntry } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import { fileTime } from '@autovibe/core/checkpoints/restored.ts'
import { anyLength, reach } from '../paths/long-path.ts'
import type { HostFiles } from './host-files/host-files.ts'
import { Load } from './load.ts'
import { readEntries } from './manifest-tree/read-entries.ts'
import { chunksOf, partsOf } from './read-content.ts'
import { WHOLE_BYTES } from './segments/content-writer.ts'
import type { ObjectStore } from './segments/object-store.ts'
import { corrupt } from './store-errors.ts'

/** Files whose contents are gathered before they are read. */
const TOGETHER = 20_000
/** What may be under way at once: many small files, or a few that are parted. */
const LOAD_MAX = 64
const LOAD_BYTES = 128 * 1024
const LOAD_OF_LARGE = 16
const SLASH = Buffer.from('/')
const OWNER_MAY_WRITE = 0o700

export interface Source {
  readonly objects: ObjectStore
  readonly files: HostFiles
}

/** `checkpoint.corrupt` at the first content that is damaged. Nobody else may write to the folder meanwhile. */
export async function restoreTree(from: Source, root: string, folder: string, signal: AbortSignal): Promise<void> {
  const at = (path: string): Buffer => Buffer.concat([Buffer.from(folder), SLASH, decodePath(path)])
  const folders: ManifestEntry[] = []
  let files: ManifestEntry[] = []
  for await (const entry of readEntries(root, (sha256) => from.objects.read('node', sha256))) {
    signal.throwIfAborted()
    if (entry.type === 'directory') {
      // Entries come after their folder, and a folder's own mode may forbid what comes.
      await reach(at(entry.path), (path) => mkdir(path, { mode: OWNER_MAY_WRITE }))
      folders.push(entry)
    } else if (entry.type === 'symlink') {
      await reach(at(entry.path), async (path) => {
        await symlink(Buffer.from(decodePath(entry.link_target ?? '')), path)
        await lutimes(path, fileTime(entry.mtime_ms), fileTime(entry.mtime_ms))
      })
    } else files.push(entry)
    if (files.length < TOGETHER) continue
    await writeFiles(from, files, at, signal)
    files = []
  }
  await writeFiles(from, files, at, signal)
  // From the innermost out: what is written in a folder changes its time.
  for (const { path, mode, mtime_ms } of folders.toReversed()) {
    await reach(at(path), async (folder) => {
      await utimes(folder, fileTime(mtime_ms), fileTime(mtime_ms))
      await chmod(folder, mode)
    })
  }
}

async function writeFiles({ objects, files }: Source, entries: readonly ManifestEntry[], at: (path: string) => Buffer, signal: AbortSignal): Promise<void> {
  const byContent = new Map<string, ManifestEntry[]>()
  const load = new Load(LOAD_MAX)
  let failure: unknown = null
  const run = async (weight: number, work: () => Promise<void>): Promise<void> => {
    if (failure !== null) throw failure
    const one = work().catch((error: unknown) => {
      failure ??= error
    })
    await load.add(weight, one)
  }
  try {
    for (const entry of entries) {
      const sha256 = entry.sha256 ?? ''
      if (entry.size > WHOLE_BYTES) await run(LOAD_OF_LARGE, () => writeLarge(objects, entry, sha256, at(entry.path), signal))
      else if (byContent.has(sha256)) byContent.get(sha256)?.push(entry)
      else byContent.set(sha256, [entry])
    }
    const wanted = [...byContent.keys()].map((sha256) => ({ kind: 'content' as const, sha256 }))
    for await (const { sha256, bytes, unread } of objects.readMany(wanted, signal)) {
      if (unread !== null) throw unread
      for (const entry of byContent.get(sha256) ?? []) {
        if (bytes?.length !== entry.size) throw damaged(entry)
        await run(1 + Math.floor(entry.size / LOAD_BYTES), () => files.write(at(entry.path), bytes, { mode: entry.mode, time: fileTime(entry.mtime_ms) }))
      }
    }
  } finally {
    // Nothing is written behind the back of whoever hears of a failure.
    await load.ended()
  }
  if (failure !== null) throw failure
}

async function writeLarge(objects: ObjectStore, entry: ManifestEntry, sha256: string, path: Buffer, signal: AbortSignal): Promise<void> {
  const chunks = await chunksOf(objects, sha256)
  if (chunks === null || chunks.reduce((sum, { bytes }) => sum + bytes, 0) !== entry.size) throw damaged(entry)
  await pipeline(Readable.from(partsOf(objects, sha256, chunks)), createWriteStream(path, { flags: 'wx', mode: 0o600, fs: anyLength }), { signal })
  await reach(path, async (file) => {
    await chmod(file, entry.mode)
    await utimes(file, fileTime(entry.mtime_ms), fileTime(entry.mtime_ms))
  })
}

const damaged = (entry: ManifestEntry) => corrupt(`The content of ${quotePath(entry.path)} is missing from the store, or is damaged.`)
