/** What a folder takes of its disk. */
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export interface Space {
  /** The sum of the files' sizes. */
  readonly bytesMiB: number
  /** The blocks that they and their folders occupy. */
  readonly onDiskMiB: number
}

const MIB = 1024 * 1024
const BLOCK_BYTES = 512

export function spaceOf(folder: string): Space {
  let bytes = 0
  let blocks = lstatSync(folder).blocks
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const stats = lstatSync(join(entry.parentPath, entry.name))
    blocks += stats.blocks
    if (!entry.isDirectory()) bytes += stats.size
  }
  return { bytesMiB: bytes / MIB, onDiskMiB: (blocks * BLOCK_BYTES) / MIB }
}
