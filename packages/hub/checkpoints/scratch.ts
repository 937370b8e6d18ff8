/** A private folder of the Hub in which trees are restored only to be looked at: nothing in it outlives its use, nor its Hub. */
import { chmod, mkdir, mkdtemp, readdir, rm, rmdir, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Room } from '@autovibe/core/limits/verdict.ts'
import { reach } from '../paths/long-path.ts'
import { errnoOf, storeError } from './store-errors.ts'

export interface Scratch {
  readonly place: string
  /** What is left of its disk; some file systems make room for files as they go, and count none. */
  room(): Promise<Room>
  /** Lends an empty folder, which is removed with all in it when the work has ended, however it ended. */
  lend<T>(work: (folder: string) => Promise<T>): Promise<T>
}

const SLASH = Buffer.from('/')

/** Opens it, empty: what a Hub that died left in it is removed. Nobody else may use it meanwhile. */
export async function openScratch(place: string): Promise<Scratch> {
  await guarded(place, async () => {
    await mkdir(place, { recursive: true, mode: 0o700 })
    await chmod(place, 0o700)
    for (const name of await readdir(place)) await removeTree(join(place, name))
  })
  return {
    place,
    room: () =>
      guarded(place, async () => {
        const { bavail, blocks, bsize, files, ffree } = await statfs(place)
        return { freeBytes: bavail * bsize, totalBytes: blocks * bsize, freeFiles: files === 0 ? null : ffree }
      }),
    async lend(work) {
      const folder = await guarded(place, () => mkdtemp(join(place, 'd')))
      try {
        return await guarded(place, () => work(folder))
      } finally {
        await guarded(place, () => removeTree(folder))
      }
    },
  }
}

/** Restored modes may lock a folder against its own owner, unless that is root. */
async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    if (!BY_HAND.has(errnoOf(error) ?? '')) throw error
    await removeByHand(Buffer.from(path))
  }
}

/** Locked folders, and paths that are too long for one call. */
const BY_HAND: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'ENOTEMPTY', 'ENAMETOOLONG'])

/** Everything that is no folder on the way down, and then the folders, the innermost first. */
async function removeByHand(top: Buffer): Promise<void> {
  const folders: Buffer[] = []
  const waiting = [top]
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const here = folder
    folders.push(here)
    const names = await reach(here, async (near) => {
      await chmod(near, 0o700)
      return readdir(near, { encoding: 'buffer', withFileTypes: true })
    })
    for (const entry of names) {
      const path = Buffer.concat([here, SLASH, entry.name])
      if (entry.isDirectory()) waiting.push(path)
      else await reach(path, (near) => unlink(near))
    }
  }
  for (const folder of folders.toReversed()) await reach(folder, (near) => rmdir(near))
}

async function guarded<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeError(error, place)
  }
}
