/**
 * Folders by their handles. A tree's names belong to an agent that may rename and link them at any moment, so nothing in it is reached by a path of more than one name: a folder is
 * opened within its open parent, never through a link, and what lies in it is named beneath the handle, which the kernel keeps at `/proc/self/fd`.
 */
import { closeSync, constants, lstatSync, openSync, readdirSync } from 'node:fs'
import { AutovibeError } from '@autovibe/contract'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'

/** More names in one folder than this would have to be held in memory at once. */
const MAX_NAMES = 1_000_000
/** Linux opens no longer path in one call (PATH_MAX with its NUL), and no checkpoint holds one. */
const MAX_PATH_BYTES = 4095

const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

export const openFolder = (path: string | Buffer): number => openSync(path, OPEN_FOLDER)

/** What this name of an open folder is called to the kernel. */
export const within = (folder: number, name: Buffer): Buffer => Buffer.concat([Buffer.from(`/proc/self/fd/${folder}/`), name])

export const openFolderWithin = (folder: number, name: Buffer): number => openSync(within(folder, name), OPEN_FOLDER)

/** The folder of this path beneath an open one, one name at a time. */
export function openBelow(folder: number, path: Buffer): number {
  let at = openFolder(`/proc/self/fd/${folder}/.`)
  for (const name of splitPath(path)) {
    const next = openFolderWithin(at, name)
    closeSync(at)
    at = next
  }
  return at
}

export function splitPath(path: Buffer): Buffer[] {
  const names: Buffer[] = []
  for (let from = 0; from < path.length; ) {
    const slash = path.indexOf(SLASH, from)
    const to = slash === -1 ? path.length : slash
    names.push(path.subarray(from, to))
    from = to + 1
  }
  return names
}

/** Sorted by their bytes. */
export function namesIn(folder: number): Buffer[] {
  const names = readdirSync(`/proc/self/fd/${folder}`, { encoding: 'buffer' })
  if (names.length > MAX_NAMES) throw new AutovibeError('substrate.failed', `A folder of the machine’s tree holds more than ${MAX_NAMES} names.`)
  return names.sort(Buffer.compare)
}

/** Null for what is not there (any more). */
export function lookAt(folder: number, name: Buffer) {
  return gone(() => lstatSync(within(folder, name), { bigint: true }))
}

/** Null where the call finds that something is not there, or is no longer what it was. */
export function gone<T>(call: () => T): T | null {
  try {
    return call()
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}

const GONE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EINVAL', 'ENXIO', 'ESTALE'])

export const closeQuietly = (folder: number | null): void => {
  if (folder !== null) closeSync(folder)
}

/** The path of an entry; an empty folder is the tree itself. */
export function below(folder: Buffer, name: Buffer): Buffer {
  const path = folder.length === 0 ? name : Buffer.concat([folder, SLASH, name])
  if (path.length > MAX_PATH_BYTES)
    throw new AutovibeError('substrate.failed', 'A path in the machine’s tree is longer than the kernel can open.', {
      internal: encodePath(path).slice(0, 500),
    })
  return path
}

const SLASH = Buffer.from('/')
