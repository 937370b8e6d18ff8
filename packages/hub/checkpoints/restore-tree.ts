/** Writes the tree of a manifest into an empty folder of this host: folders first, contents in the order in which they lie in the store, modes and times last. */
import { createWriteStream } from 'node:fs'
import { chmod, lutimes, mkdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ManifestEntry } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import { fileTime } from '@autovibe/core/checkpoints/restored.ts'
import { readEntries } from './manifest-tree/read-entries.ts'
import { chunksOf, partsOf } from './read-content.ts'
import { WHOLE_BYTES } from './segments/content-writer.ts'
import type { ObjectStore } from './segments/object-store.ts'
import { corrupt } from './store-errors.ts'

/** Files whose contents are gathered before they are read. */
const TOGETHER = 20_000
/** Files written at once. */
const PARALLEL = 16
const SLASH = Buffer.from('/')
const OWNER_MAY_WRITE = 0o700

/** `checkpoint.corrupt` at the first content that is damaged. Nobody else may write to the folder meanwhile. */
export async function restoreTree(objects: ObjectStore, root: string, folder: string, signal: AbortSignal): Promise<void> {
  const at = (path: string): Buffer => Buffer.concat([Buffer.from(folder), SLASH, decodePath(path)])
  const folders: ManifestEntry[] = []
  let files: ManifestEntry[] = []
  for await (const entry of readEntries(root, (sha256) => objects.read('node', sha256))) {
    signal.throwIfAborted()
    if (entry.type === 'directory') {
      // Entries come after their folder, and a folder's own mode may forbid what comes.
      await mkdir(at(entry.path), { mode: OWNER_MAY_WRITE })
      folders.push(entry)
    } else if (entry.type === 'symlink') {
      await symlink(Buffer.from(decodePath(entry.link_target ?? '')), at(entry.path))
      await lutimes(at(entry.path), fileTime(entry.mtime_ms), fileTime(entry.mtime_ms))
    } else files.push(entry)
    if (files.length < TOGETHER) continue
    await writeFiles(objects, files, at, signal)
    files = []
  }
  await writeFiles(objects, files, at, signal)
  // From the innermost out: what is written in a folder changes its time.
  for (const { path, mode, mtime_ms } of folders.toReversed()) {
    await utimes(at(path), fileTime(mtime_ms), fileTime(mtime_ms))
    await chmod(at(path), mode)
  }
}

async function writeFiles(objects: ObjectStore, files: readonly ManifestEntry[], at: (path: string) => Buffer, signal: AbortSignal): Promise<void> {
  const byContent = new Map<string, ManifestEntry[]>()
  const running = new Set<Promise<void>>()
  let failure: unknown = null
  const run = async (work: () => Promise<void>): Promise<void> => {
    if (failure !== null) throw failure
    const one = work()
      .catch((error: unknown) => {
        failure ??= error
      })
      .finally(() => running.delete(one))
    running.add(one)
    if (running.size >= PARALLEL) await Promise.race(running)
  }
  try {
    for (const entry of files) {
      const sha256 = entry.sha256 ?? ''
      if (entry.size > WHOLE_BYTES) await run(() => writeLarge(objects, entry, sha256, at(entry.path), signal))
      else if (byContent.has(sha256)) byContent.get(sha256)?.push(entry)
      else byContent.set(sha256, [entry])
    }
    const wanted = [...byContent.keys()].map((sha256) => ({ kind: 'content' as const, sha256 }))
    for await (const { sha256, bytes } of objects.readMany(wanted, signal))
      for (const entry of byContent.get(sha256) ?? []) {
        if (bytes?.length !== entry.size) throw damaged(entry)
        await run(() => writeSmall(entry, bytes, at(entry.path)))
      }
  } finally {
    // Nothing is written behind the back of whoever hears of a failure.
    await Promise.all(running)
  }
  if (failure !== null) throw failure
}

async function writeSmall(entry: ManifestEntry, bytes: Buffer, path: Buffer): Promise<void> {
  await writeFile(path, bytes, { flag: 'wx', mode: OWNER_MAY_WRITE & 0o600 })
  await finishFile(entry, path)
}

async function writeLarge(objects: ObjectStore, entry: ManifestEntry, sha256: string, path: Buffer, signal: AbortSignal): Promise<void> {
  const chunks = await chunksOf(objects, sha256)
  if (chunks === null || chunks.reduce((sum, { bytes }) => sum + bytes, 0) !== entry.size) throw damaged(entry)
  await pipeline(Readable.from(partsOf(objects, sha256, chunks)), createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal })
  await finishFile(entry, path)
}

async function finishFile({ mode, mtime_ms }: ManifestEntry, path: Buffer): Promise<void> {
  if (mode !== 0o600) await chmod(path, mode)
  await utimes(path, fileTime(mtime_ms), fileTime(mtime_ms))
}

const damaged = (entry: ManifestEntry) => corrupt(`The content of ${quotePath(entry.path)} is missing from the store, or is damaged.`)
