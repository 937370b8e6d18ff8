/** A private folder of the Hub in which trees are restored only to be looked at: nothing in it outlives its use, nor its Hub. */
import { chmod, lstat, mkdir, mkdtemp, readdir, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Room } from '@autovibe/core/limits/verdict.ts'
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
    const code = errnoOf(error)
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'ENOTEMPTY') throw error
    await unlockFolders(Buffer.from(path))
    await rm(path, { recursive: true, force: true })
  }
}

async function unlockFolders(top: Buffer): Promise<void> {
  const waiting = [top]
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const within = folder
    await chmod(within, 0o700)
    for (const name of await readdir(within, { encoding: 'buffer' })) {
      const path = Buffer.concat([within, SLASH, name])
      if ((await lstat(path)).isDirectory()) waiting.push(path)
    }
  }
}

async function guarded<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeError(error, place)
  }
}
