/** A drill of what a checkpoint is for: its tree is restored, and everything about it is compared with the manifest. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, type FileHandle, lstat, open, readdir, readlink } from 'node:fs/promises'
import { AutovibeError, type ManifestEntry } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import { decodePath, encodePath } from '@autovibe/core/checkpoints/paths.ts'
import { differenceFrom, type FoundEntry, NOTHING, roomProblem, type TreeSize, withEntry } from '@autovibe/core/checkpoints/restored.ts'
import { reach } from '../paths/long-path.ts'
import type { Scratch } from './scratch.ts'
import type { ProjectStore } from './store.ts'
import { errnoOf } from './store-errors.ts'

export interface Drill {
  readonly entries: number
  readonly files: number
  /** Of the contents that were restored and hashed. */
  readonly bytes: number
  /** Each path at which the restored tree is not what the manifest says, with what is; at most 100. */
  readonly differences: readonly string[]
}

const DIFFERENCES_MAX = 100
/** Entries looked at together; each file holds a buffer. */
const TOGETHER = 16
const READ_BYTES = 256 * 1024
const SLASH = Buffer.from('/')

/** Nothing of the tree is left on the disk afterwards. `substrate.disk_full` before anything is restored when the room does not suffice, `checkpoint.corrupt` when it cannot be restored. */
export async function drillRestore(project: ProjectStore, manifestSha256: string, scratch: Scratch, signal: AbortSignal): Promise<Drill> {
  let tree: TreeSize = NOTHING
  for await (const entry of project.entries(manifestSha256)) {
    signal.throwIfAborted()
    tree = withEntry(tree, entry)
  }
  await assertRoom(tree, scratch)
  return await scratch.lend(async (folder) => {
    await project.restore(manifestSha256, folder, signal)
    const differences = await differingIn(project.entries(manifestSha256), folder, signal)
    if (differences.length > 0 || (await countBelow(folder, tree.entries, signal)) > tree.entries)
      differences.push(...(await extraIn(project, manifestSha256, folder, signal)))
    return { entries: tree.entries, files: tree.files, bytes: tree.bytes, differences: differences.slice(0, DIFFERENCES_MAX) }
  })
}

async function assertRoom(tree: TreeSize, scratch: Scratch): Promise<void> {
  const missing = roomProblem(tree, await scratch.room())
  if (missing === null) return
  throw new AutovibeError('substrate.disk_full', `There is no room to restore ${tree.files} files of ${tree.bytes} bytes: ${missing} are missing.`, {
    fix: `Free space (df -h ${scratch.place}), or verify without --restore, which needs none.`,
  })
}

async function differingIn(entries: AsyncIterable<ManifestEntry>, folder: string, signal: AbortSignal): Promise<string[]> {
  const differences: string[] = []
  let together: ManifestEntry[] = []
  const compare = async (): Promise<void> => {
    const judge = async (entry: ManifestEntry) => ({ entry, what: differenceFrom(entry, await look(folder, entry, signal)) })
    const found: Awaited<ReturnType<typeof judge>>[] = []
    // A locked folder is unlocked before anything within is looked at.
    for (const entry of together) if (entry.type === 'directory') found.push(await judge(entry))
    found.push(...(await Promise.all(together.filter(({ type }) => type !== 'directory').map(judge))))
    together = []
    for (const { entry, what } of found) if (what !== null && differences.length < DIFFERENCES_MAX) differences.push(`${quotePath(entry.path)} ${what}`)
  }
  for await (const entry of entries) {
    signal.throwIfAborted()
    together.push(entry)
    if (together.length >= TOGETHER) await compare()
  }
  await compare()
  return differences
}

/** What lies at the entry's path; null when nothing does. */
async function look(folder: string, { path, size }: ManifestEntry, signal: AbortSignal): Promise<FoundEntry | null> {
  try {
    return await reach(Buffer.concat([Buffer.from(folder), SLASH, decodePath(path)]), (at) => lookAt(at, size, signal))
  } catch (error) {
    const code = errnoOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  }
}

async function lookAt(at: Buffer, size: number, signal: AbortSignal): Promise<FoundEntry> {
  const stats = await lstat(at)
  const common = { mode: stats.mode & 0o7777, size: stats.size, mtime_ms: stats.mtimeMs, sha256: null, link_target: null }
  if (stats.isDirectory()) {
    // A folder that its own mode locks would hide what is in it from a Hub that is not root; its mode is known by now.
    if ((stats.mode & 0o700) !== 0o700) await chmod(at, 0o700)
    return { ...common, type: 'directory' }
  }
  if (stats.isSymbolicLink()) return { ...common, type: 'symlink', link_target: encodePath(await readlink(at, { encoding: 'buffer' })) }
  if (!stats.isFile()) return { ...common, type: 'other' }
  if ((stats.mode & 0o400) === 0) await chmod(at, 0o600)
  // Of another size than it should have: then its content need not be read.
  return { ...common, type: 'file', sha256: stats.size === size ? await hashOf(at, signal) : null }
}

async function hashOf(path: Buffer, signal: AbortSignal): Promise<string> {
  await using file: FileHandle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (;;) {
    signal.throwIfAborted()
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(buffer.subarray(0, bytesRead))
  }
}

/** Stops as soon as there is more than there should be: with every entry in its place, that is something else. */
async function countBelow(folder: string, entries: number, signal: AbortSignal): Promise<number> {
  let count = 0
  for await (const _ of pathsBelow(folder, signal)) if (++count > entries) break
  return count
}

async function extraIn(project: ProjectStore, manifestSha256: string, folder: string, signal: AbortSignal): Promise<string[]> {
  const extra: string[] = []
  for await (const bytes of pathsBelow(folder, signal)) {
    const path = encodePath(bytes)
    if ((await project.entry(manifestSha256, path)) === null) extra.push(`${quotePath(path)} is in no manifest`)
    if (extra.length >= DIFFERENCES_MAX) break
  }
  return extra
}

/** The bytes of every path below; a list of its own instead of recursion, for how deep folders lie is an agent's choice. */
async function* pathsBelow(folder: string, signal: AbortSignal): AsyncGenerator<Buffer, void> {
  const waiting = [Buffer.alloc(0)]
  for (let within = waiting.pop(); within !== undefined; within = waiting.pop()) {
    signal.throwIfAborted()
    const at = Buffer.concat([Buffer.from(folder), SLASH, within])
    for (const entry of await reach(at, (near) => readdir(near, { encoding: 'buffer', withFileTypes: true }))) {
      const path = within.length === 0 ? entry.name : Buffer.concat([within, SLASH, entry.name])
      yield path
      if (entry.isDirectory()) waiting.push(path)
    }
  }
}
