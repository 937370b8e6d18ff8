/**
 * What differs between two frozen trees. Node cannot read an overlay's marks (extended attributes), so the layers only tell where to look:
 * a name that both trees have, and that lies in none of the layers in which the stacks differ, is the same in both. What to say is read from the
 * merged trees.
 */
import { constants } from 'node:fs'
import { lstat, open, readdir } from 'node:fs/promises'
import type { ManifestEntry } from '@autovibe/contract'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'
import { reach } from '../../paths/long-path.ts'
import type { TreeChange } from '../substrate.ts'
import { type Entry, type Tree, under } from './view.ts'

/** One comparison: `layers` are the folders of all layers that only one of the two stacks has; null means to compare everything. */
export interface Comparison {
  readonly before: Tree | null
  readonly after: Tree
  readonly layers: readonly Buffer[] | null
  readonly signal: AbortSignal
}

const ROOT = Buffer.alloc(0)
const COMPARE_BYTES = 64 * 1024

/** A folder still to be looked at: as a whole, or against the earlier tree. */
interface Work {
  readonly folder: Buffer
  readonly whole: boolean
  readonly layers: readonly Buffer[] | null
}

/** Parents before children; what was one thing and is now another is removed first. */
export async function* compareTrees(comparison: Comparison): AsyncGenerator<TreeChange> {
  const { before, after, signal } = comparison
  // A list of its own instead of recursion: how deep folders lie is the agent's choice.
  const waiting: Work[] = [{ folder: ROOT, whole: before === null, layers: comparison.layers }]
  for (let work = waiting.pop(); work !== undefined; work = waiting.pop()) {
    signal.throwIfAborted()
    const { folder, layers } = work
    const touched = work.whole || layers === null ? null : await touchedNames(layers, folder)
    const [oldNames, newNames] = [work.whole || before === null ? [] : await before.names(folder), await after.names(folder)]
    const [wereThere, areThere] = [new Set(oldNames.map(key)), new Set(newNames.map(key))]
    const old = new Map(
      (before === null
        ? []
        : await before.look(
            folder,
            oldNames.filter((name) => touched === null || touched.has(key(name)) || !areThere.has(key(name))),
          )
      ).map((entry) => [key(entry.name), entry]),
    )
    const now = await after.look(
      folder,
      newNames.filter((name) => touched === null || touched.has(key(name)) || !wereThere.has(key(name))),
    )
    const found = new Set(now.map((entry) => key(entry.name)))
    for (const [name, entry] of old) if (!found.has(name)) yield { kind: 'remove', path: encodePath(under(folder, entry.name)) }
    for (const entry of now) {
      const was = old.get(key(entry.name))
      const path = under(folder, entry.name)
      const replaced = was !== undefined && was.type !== entry.type
      if (replaced) yield { kind: 'remove', path: encodePath(path) }
      if (was === undefined || replaced || before === null) {
        yield put(after, folder, entry)
        if (entry.type === 'directory') waiting.push({ folder: path, whole: true, layers: null })
      } else {
        if (await differs(comparison, before, path, was, entry)) yield put(after, folder, entry)
        if (entry.type !== 'directory') continue
        const within = touched === null || layers === null ? null : await layersWithFolder(layers, path)
        if (within === null || within.length > 0) waiting.push({ folder: path, whole: false, layers: within })
      }
    }
  }
}

/** The layers above what two stacks share; null when they share nothing, so that everything is compared. */
export function differingLayers(before: readonly string[], after: readonly string[]): readonly string[] | null {
  let shared = 0
  while (shared < before.length && before[shared] === after[shared]) shared += 1
  return shared === 0 ? null : [...before.slice(shared), ...after.slice(shared)]
}

/** Those layers in which this is a folder; a link that lies there is never followed. */
async function layersWithFolder(layers: readonly Buffer[], folder: Buffer): Promise<readonly Buffer[] | null> {
  const found: Buffer[] = []
  for (const layer of layers) {
    try {
      if ((await reach(under(layer, folder), (path) => lstat(path))).isDirectory()) found.push(layer)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'EACCES') return null
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    }
  }
  return found
}

/** The names that lie in this folder of any of these layers; null when one of them cannot be read and so may hold any. */
async function touchedNames(layers: readonly Buffer[], folder: Buffer): Promise<ReadonlySet<string> | null> {
  const names = new Set<string>()
  for (const layer of layers) {
    try {
      for (const name of await reach(under(layer, folder), (path) => readdir(path, { encoding: 'buffer' }))) names.add(key(name))
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'EACCES') return null
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    }
  }
  return names
}

/**
 * A folder's times follow its entries and say nothing by themselves. A file of the same size, mode and time is read: times can be set back,
 * and a file opened for writing lies in the new layer though nothing was written.
 */
async function differs(comparison: Comparison, before: Tree, path: Buffer, was: Entry, now: Entry): Promise<boolean> {
  if (was.mode !== now.mode) return true
  if (now.type === 'directory') return false
  if (now.type === 'symlink') return was.target === null || now.target === null || !was.target.equals(now.target)
  if (was.size !== now.size || was.mtimeMs !== now.mtimeMs) return true
  return !(await sameBytes(before.path(path), comparison.after.path(path), comparison.signal))
}

/** False also when a file cannot be read in place: then it is said to have changed, and whoever asked reads it. */
async function sameBytes(one: Buffer, other: Buffer, signal: AbortSignal): Promise<boolean> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW
  try {
    await using first = await reach(one, (path) => open(path, flags))
    await using second = await reach(other, (path) => open(path, flags))
    const [a, b] = [Buffer.alloc(COMPARE_BYTES), Buffer.alloc(COMPARE_BYTES)]
    for (;;) {
      signal.throwIfAborted()
      const [left, right] = await Promise.all([first.read(a, 0, COMPARE_BYTES), second.read(b, 0, COMPARE_BYTES)])
      if (left.bytesRead !== right.bytesRead || !a.subarray(0, left.bytesRead).equals(b.subarray(0, right.bytesRead))) return false
      if (left.bytesRead === 0) return true
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return false
    throw error
  }
}

function put(tree: Tree, folder: Buffer, entry: Entry): TreeChange {
  const path = under(folder, entry.name)
  const described: Omit<ManifestEntry, 'sha256'> = {
    path: encodePath(path),
    type: entry.type,
    mode: entry.mode,
    size: entry.size,
    mtime_ms: entry.mtimeMs,
    link_target: entry.target === null ? null : encodePath(entry.target),
  }
  return { kind: 'put', entry: described, open: () => tree.open(path), hold: () => tree.hold(path) }
}

/** Bytes as a map key, one character each. */
const key = (name: Buffer): string => name.toString('latin1')
