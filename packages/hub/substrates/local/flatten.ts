/** Merges deep stacks in the background: each lookup asks every layer, so a stack of hundreds makes a slow machine. Files are linked, not copied. */
import { chmod, link, lstat, lutimes, mkdir, symlink } from 'node:fs/promises'
import { AutovibeError } from '@autovibe/contract'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'
import { fileTime } from '@autovibe/core/checkpoints/restored.ts'
import { reach } from '../../paths/long-path.ts'
import type { KeyedLock } from '../keyed-lock.ts'
import { listSnapshotIds, readSnapshot, writeSnapshot } from './documents.ts'
import type { Host } from './host.ts'
import { type Pins, withNewLayer } from './layers.ts'
import { layerTree } from './layout.ts'
import { openViews, under } from './view.ts'
import { syncLayers } from './written.ts'

/** Walking a tree of 100,000 files through 50 layers takes 1.5 times as long as through one; here the merge begins. */
const DEEP = 32

/** Which stacks were merged into which layer. In memory only: the snapshots' files carry what was done, and a stack merged twice does no harm. */
export class Flats {
  readonly #merged: { readonly stack: readonly string[]; readonly layer: string }[] = []
  readonly #host: Host
  readonly #pins: Pins
  readonly #locks: KeyedLock
  #running: Promise<void> | null = null

  constructor(host: Host, pins: Pins, locks: KeyedLock) {
    this.#host = host
    this.#pins = pins
    this.#locks = locks
  }

  /** The same tree on fewer layers, where a merge of its lower part is known. */
  shorten(stack: readonly string[]): string[] {
    let best: { readonly stack: readonly string[]; readonly layer: string } | null = null
    for (const flat of this.#merged) {
      if (flat.stack.length > (best?.stack.length ?? 0) && flat.stack.length <= stack.length && flat.stack.every((layer, at) => layer === stack[at]))
        best = flat
    }
    return best === null ? [...stack] : [best.layer, ...stack.slice(best.stack.length)]
  }

  /** Begins to merge a stack that has grown deep, unless a merge is under way. */
  consider(stack: readonly string[]): void {
    if (this.#running !== null || this.shorten(stack).length <= DEEP || this.#host.offer.copy !== 'C3') return
    this.#running = this.merge(stack)
      .catch((error: unknown) => this.#host.options.logger.warn({ err: error }, 'merging layers failed; the machine goes on with the deep stack'))
      .finally(() => {
        this.#running = null
      })
  }

  /** Returns when no merge is under way. */
  async settled(): Promise<void> {
    await this.#running
  }

  /** Merges now; the snapshots on this stack are moved to the merged layer. */
  async merge(stack: readonly string[]): Promise<void> {
    const unpin = this.#pins.add(stack)
    try {
      await withNewLayer(this.#host.layout, this.#pins, async (flat) => {
        await linkMerged(this.#host, stack, flat)
        // Snapshots that are on disk already are about to stand on it.
        await syncLayers(this.#host)
        const entry = { stack: [...stack], layer: flat }
        this.#merged.push(entry)
        // While its layer is pinned by this merge or named by a file, it may be used; nothing keeps it afterwards.
        await this.#locks.run('snapshots', async () => {
          let used = false
          for (const id of await listSnapshotIds(this.#host.layout)) {
            const snapshot = await readSnapshot(this.#host.layout, id)
            if (snapshot === null || !stack.every((layer, at) => layer === snapshot.layers[at])) continue
            await writeSnapshot(this.#host.layout, id, { ...snapshot, layers: [flat, ...snapshot.layers.slice(stack.length)] })
            used = true
          }
          if (!used) this.forget(flat)
        })
      })
    } finally {
      unpin()
    }
  }

  /** No longer offers a layer that was removed. */
  forget(layer: string): void {
    const at = this.#merged.findIndex((flat) => flat.layer === layer)
    if (at !== -1) this.#merged.splice(at, 1)
  }
}

/** Builds the merged tree of a stack: folders and links anew, files as further names of the layers' own, which nobody writes to any more. */
async function linkMerged(host: Host, stack: readonly string[], flat: string): Promise<void> {
  const views = await openViews(host, [stack])
  try {
    const tree = views.trees[0]
    if (tree === undefined) throw new TypeError('no view was opened')
    const target = Buffer.from(layerTree(host.layout, flat))
    const newestFirst = [...stack].reverse().map((layer) => Buffer.from(layerTree(host.layout, layer)))
    const waiting: Buffer[] = [Buffer.alloc(0)]
    const closed: { path: Buffer; mode: number; mtimeMs: number }[] = []
    for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
      for (const entry of await tree.look(folder, await tree.names(folder))) {
        const path = under(folder, entry.name)
        const at = under(target, path)
        if (entry.type === 'directory') {
          await reach(at, (near) => mkdir(near, { mode: 0o700 }))
          closed.push({ path: at, mode: entry.mode, mtimeMs: entry.mtimeMs })
          waiting.push(path)
        } else if (entry.type === 'symlink') {
          await reach(at, async (near) => {
            await symlink(entry.target ?? Buffer.alloc(0), near)
            await lutimes(near, fileTime(entry.mtimeMs), fileTime(entry.mtimeMs))
          })
        } else {
          const file = await topMostFile(newestFirst, path)
          await reach(file, (from) => reach(at, (to) => link(from, to)))
        }
      }
    }
    // Modes last and children first: a folder may have been locked against its own owner.
    for (const folder of closed.reverse()) {
      await reach(folder.path, async (near) => {
        await lutimes(near, fileTime(folder.mtimeMs), fileTime(folder.mtimeMs))
        await chmod(near, folder.mode)
      })
    }
  } finally {
    await views.close()
  }
}

/** The file that the merged tree shows: the newest layer's, since nothing above it can hide what is seen. */
async function topMostFile(newestFirst: readonly Buffer[], path: Buffer): Promise<Buffer> {
  for (const layer of newestFirst) {
    const candidate = under(layer, path)
    try {
      if ((await reach(candidate, (near) => lstat(near))).isFile() && (await standsInFolders(layer, path))) return candidate
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    }
  }
  throw new AutovibeError('substrate.failed', 'A file of the merged tree lies in none of its layers.', { internal: encodePath(path) })
}

/** Whether every part of the way is a real folder: a link that lies in an older layer leads elsewhere. */
async function standsInFolders(layer: Buffer, path: Buffer): Promise<boolean> {
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
    if (!(await reach(under(layer, path.subarray(0, at)), (near) => lstat(near))).isDirectory()) return false
  }
  return true
}
