/** Makes a tree of a tar of everything that a checkpoint holds. The tar is the Hub's, but its names were an agent's: nothing is written outside of the new folder. */
import { closeSync, lchownSync, lutimesSync, mkdirSync, openSync, symlinkSync, writeSync } from 'node:fs'
import { AutovibeError, readTar } from '@autovibe/contract'
import { type ImportedEntry, ImportedTree } from '@autovibe/core/checkpoints/imported-tree.ts'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import { finish, type Owner } from './copy-file.ts'
import { openBelow, openFolder, within } from './descend.ts'
import { microsecondsOf, timeText } from './times.ts'

/** What lies in each tree. */
const TOP = ['project', 'home'] as const
const MODE = 0o755
const ALL_MODE_BITS = 0o7777

/** `folder` is there and empty. Null: an empty tree. */
export async function plantTree(folder: string, tar: AsyncIterable<Uint8Array> | null, owner: Owner | null, nowMs: number): Promise<void> {
  const top = openFolder(folder)
  try {
    const tree = new ImportedTree(null, nowMs)
    // Modes and times of folders come last and from the inside out: what is made within changes the one and may need the other.
    const folders: ImportedEntry[] = []
    for await (const tarEntry of tar === null ? [] : readTar(tar)) {
      if (tarEntry.type === 'link') throw new AutovibeError('archive.invalid', 'A checkpoint’s archive holds no hard links, but this one does.')
      const { entries } = tree.admit(tarEntry, 0)
      for (const [at, entry] of entries.entries()) {
        // These rights are the tree’s own, not those of a stranger’s archive.
        const exact = at === entries.length - 1 ? { ...entry, mode: tarEntry.mode & ALL_MODE_BITS } : entry
        if (exact.type === 'directory') folders.push(makeFolder(top, exact))
        else if (exact.type === 'symlink') inFolder(top, exact.path, (path) => makeLink(path, exact, owner))
        else await makeFile(top, exact, tarEntry.content, owner)
      }
    }
    for (const entry of tree.complete([...TOP])) folders.push(makeFolder(top, { ...entry, mode: MODE }))
    for (const entry of folders.reverse()) {
      const at = openBelow(top, bytesOf(entry.path))
      try {
        finish(at, owner, entry.mode, usOf(entry.mtime_ms))
      } finally {
        closeSync(at)
      }
    }
    finish(top, owner, MODE, usOf(nowMs))
  } finally {
    closeSync(top)
  }
}

/** A folder that is told twice is the one that is there, as told last. */
function makeFolder(top: number, entry: ImportedEntry): ImportedEntry {
  inFolder(top, entry.path, (path) => {
    try {
      mkdirSync(path, { mode: 0o700 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  })
  return entry
}

function makeLink(path: Buffer, entry: ImportedEntry, owner: Owner | null): void {
  symlinkSync(bytesOf(entry.link_target ?? ''), path)
  if (owner !== null) lchownSync(path, owner.uid, owner.gid)
  const time = timeText(usOf(entry.mtime_ms))
  lutimesSync(path, time, time)
}

async function makeFile(top: number, entry: ImportedEntry, content: AsyncIterable<Uint8Array>, owner: Owner | null): Promise<void> {
  const file = inFolder(top, entry.path, (path) => openSync(path, 'wx', 0o600))
  try {
    for await (const chunk of content) for (let at = 0; at < chunk.length; ) at += writeSync(file, chunk, at)
    finish(file, owner, entry.mode, usOf(entry.mtime_ms))
  } finally {
    closeSync(file)
  }
}

function inFolder<T>(top: number, path: string, make: (path: Buffer) => T): T {
  const bytes = bytesOf(path)
  const slash = bytes.lastIndexOf('/')
  const folder = openBelow(top, bytes.subarray(0, Math.max(slash, 0)))
  try {
    return make(within(folder, bytes.subarray(slash + 1)))
  } finally {
    closeSync(folder)
  }
}

const usOf = (ms: number): bigint => microsecondsOf(BigInt(Math.round(ms * 1e6)))

const bytesOf = (path: string): Buffer => Buffer.from(decodePath(path))
