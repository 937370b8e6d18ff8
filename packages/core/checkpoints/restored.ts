/** What tells a restored tree from its manifest, and whether a host has the room to restore one. */
import type { ManifestEntry } from '@autovibe/contract'
import { floorOf, type Room } from '../limits/verdict.ts'

/** An entry as it lies on the disk; of a file with its content's hash. */
export interface FoundEntry extends Pick<ManifestEntry, 'mode' | 'size' | 'mtime_ms' | 'sha256' | 'link_target'> {
  readonly type: ManifestEntry['type'] | 'other'
}

/** How what was found differs from its entry, as a sentence's end; null when it does not. */
export function differenceFrom(entry: ManifestEntry, found: FoundEntry | null): string | null {
  if (found === null) return 'is missing'
  if (found.type !== entry.type) return `is ${found.type}, not ${entry.type}`
  // Linux gives every link the same mode.
  if (entry.type !== 'symlink' && found.mode !== entry.mode) return `has the mode ${found.mode.toString(8)}, not ${entry.mode.toString(8)}`
  // No file system keeps the last digits of a time as a fraction of a millisecond tells them.
  if (Math.abs(found.mtime_ms - entry.mtime_ms) >= 1) return `has the time ${found.mtime_ms}, not ${entry.mtime_ms}`
  if (entry.type === 'symlink' && found.link_target !== entry.link_target) return 'leads elsewhere'
  if (entry.type !== 'file') return null
  if (found.size !== entry.size) return `has ${found.size} bytes, not ${entry.size}`
  return found.sha256 === entry.sha256 ? null : 'has another content'
}

/** The time as utimes(2) of Node is told it: as text, for it takes a negative number to be now; rounded, for it cuts off at the microsecond. */
export const fileTime = (mtimeMs: number): string => String((mtimeMs + Math.sign(mtimeMs) * HALF_A_MICROSECOND_MS) / 1000)

const HALF_A_MICROSECOND_MS = 0.0005

export interface TreeSize {
  entries: number
  files: number
  /** Of the contents. */
  bytes: number
  /** Of the disk, which gives out whole blocks. */
  diskBytes: number
}

const BLOCK_BYTES = 4096
const FREE_FILES_MIN = 10_000

export const NOTHING: TreeSize = { entries: 0, files: 0, bytes: 0, diskBytes: 0 }

export function withEntry({ entries, files, bytes, diskBytes }: TreeSize, { type, size }: Pick<ManifestEntry, 'type' | 'size'>): TreeSize {
  const isFile = type === 'file'
  const blocks = Math.max(1, Math.ceil(size / BLOCK_BYTES))
  return { entries: entries + 1, files: files + (isFile ? 1 : 0), bytes: bytes + (isFile ? size : 0), diskBytes: diskBytes + blocks * BLOCK_BYTES }
}

/** By how much the room falls short of the tree, as words; null when it suffices and leaves what the host needs itself. */
export function roomProblem(tree: TreeSize, room: Room): string | null {
  const missing = tree.diskBytes + floorOf(room) - room.freeBytes
  if (missing > 0) return `${missing} bytes`
  const files = room.freeFiles === null ? 0 : tree.entries + FREE_FILES_MIN - room.freeFiles
  return files > 0 ? `${files} files` : null
}
