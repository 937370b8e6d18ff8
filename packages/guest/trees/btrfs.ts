/** Trees as btrfs subvolumes: a snapshot is atomic and takes the same time for every size. */
import { mkdir, rename, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool } from '../tools.ts'

/** statfs(2): BTRFS_SUPER_MAGIC; the root of every subvolume has the same inode number (BTRFS_FIRST_FREE_OBJECTID). */
const BTRFS_MAGIC = 0x9123683e
const SUBVOLUME_INODE = 256
const TIMEOUT_MS = 60_000
/** What a probe makes. */
const PROBED = ['first', 'second']

/** Found out by doing it, in a folder that is removed again. */
export async function canSnapshot(folder: string): Promise<boolean> {
  if ((await statfs(folder)).type !== BTRFS_MAGIC) return false
  const probe = join(folder, 'probe')
  try {
    await mkdir(probe)
    const [of, path] = PROBED.map((name) => join(probe, name)) as [string, string]
    await makeSubvolume(of)
    await takeSnapshot(of, path, true)
    return true
  } catch {
    // No tool, or no rights: trees are copied then.
    return false
  } finally {
    await removeTree(probe)
  }
}

export async function isSubvolume(path: string): Promise<boolean> {
  const [{ ino }, { type }] = await Promise.all([stat(path), statfs(path)])
  return ino === SUBVOLUME_INODE && type === BTRFS_MAGIC
}

export async function makeSubvolume(path: string): Promise<void> {
  await runTool('btrfs', ['subvolume', 'create', '--', path], TIMEOUT_MS)
}

export async function takeSnapshot(of: string, path: string, isReadOnly: boolean): Promise<void> {
  await runTool('btrfs', ['subvolume', 'snapshot', ...(isReadOnly ? ['-r'] : []), '--', of, path], TIMEOUT_MS)
}

const REMOVE_TIMEOUT_MS = 30 * 60_000

/** A folder with what lies in it, or a subvolume. One that is not there is no error. */
export async function removeTree(folder: string): Promise<void> {
  for (const path of [folder, ...PROBED.map((name) => join(folder, name))]) {
    try {
      if (await isSubvolume(path)) await runTool('btrfs', ['subvolume', 'delete', '--', path], TIMEOUT_MS)
    } catch {
      // Not there, or it cannot be removed as a whole; rm(1) removes it file by file.
    }
  }
  // rm(1) goes down by open folders, so that neither depth nor odd names stop it.
  await runTool('rm', ['-rf', '--', folder], REMOVE_TIMEOUT_MS)
}

/** Out of sight in one step, within the same folder: elsewhere nobody may take what is read-only. */
export async function takeAway(path: string, aside: string): Promise<boolean> {
  try {
    await rename(path, aside)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

export const removeFile = (path: string): Promise<void> => rm(path, { force: true })
