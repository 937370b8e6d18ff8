/** A btrfs of its own for tests: a sparse file with a file system in it, mounted for as long as the test runs. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const BYTES = 512 * 1024 ** 2

export interface TestFileSystem {
  readonly folder: string
  unmount(): void
}

/** The file system, or why this host has none for us. */
export function mountBtrfs(): TestFileSystem | string {
  if (process.getuid?.() !== 0) return 'mounting a file system takes root'
  const room = mkdtempSync(join(tmpdir(), 'avfs-'))
  const [image, folder] = [join(room, 'image'), join(room, 'on')]
  const run = (command: string, ...args: string[]): string | null => {
    const ran = spawnSync(command, args, { encoding: 'utf8' })
    return ran.status === 0 ? null : `${command}: ${ran.error?.message ?? ran.stderr.trim()}`
  }
  writeFileSync(image, '')
  truncateSync(image, BYTES)
  mkdirSync(folder)
  const failed = run('mkfs.btrfs', '-q', image) ?? run('mount', '-o', 'loop', image, folder)
  if (failed !== null) {
    rmSync(room, { recursive: true })
    return failed
  }
  return {
    folder,
    unmount: () => {
      const stays = run('umount', folder)
      if (stays !== null) throw new Error(stays)
      // Not recursively: what is still mounted would be emptied.
      rmdirSync(folder)
      rmSync(room, { recursive: true })
    },
  }
}
