/** Trees as btrfs subvolumes: a snapshot is atomic and takes the same time for every size, and so does its removal by root. */
import { rmdir, stat, statfs } from 'node:fs/promises'
import { run, runOrThrow } from './command.ts'

/** statfs(2): BTRFS_SUPER_MAGIC; the root of every subvolume has the same inode number (BTRFS_FIRST_FREE_OBJECTID). */
const BTRFS_MAGIC = 0x9123683e
const SUBVOLUME_INODE = 256
const TIMEOUT_MS = 60_000

export const liesOnBtrfs = async (path: string): Promise<boolean> => (await statfs(path)).type === BTRFS_MAGIC

/** False for a missing path too. */
export async function isSubvolume(path: string): Promise<boolean> {
  try {
    const { ino } = await stat(path)
    return ino === SUBVOLUME_INODE && (await liesOnBtrfs(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** Makes a subvolume in place of an empty folder. */
export async function replaceBySubvolume(folder: string): Promise<void> {
  await rmdir(folder)
  await runOrThrow('btrfs', ['subvolume', 'create', '--', folder], { timeoutMs: TIMEOUT_MS, what: 'Making a subvolume' })
}

/** Makes a snapshot of the subvolume in place of an empty folder, with everything as it is at one moment. */
export async function replaceBySnapshot(folder: string, of: string): Promise<void> {
  await rmdir(folder)
  await runOrThrow('btrfs', ['subvolume', 'snapshot', '--', of, folder], { timeoutMs: TIMEOUT_MS, what: 'Taking a btrfs snapshot' })
}

/** False where that takes rights that we lack, or something stands in the way; rm(1) removes it all the same, file by file. */
export async function deleteSubvolume(folder: string): Promise<boolean> {
  return (await run('btrfs', ['subvolume', 'delete', '--', folder], { timeoutMs: TIMEOUT_MS })).code === 0
}
