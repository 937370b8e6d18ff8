/** What lies between two frozen trees, as the records of a stream: parents before children, and what has become another kind of thing removed first. Blocks: it runs in a thread. */
import { type BigIntStats, closeSync, fstatSync, openSync, readlinkSync, readSync } from 'node:fs'
import { AutovibeError, type GuestChange, guestChangeHeader } from '@autovibe/contract'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'
import { OPEN_FILE } from './copy-file.ts'
import { below, closeQuietly, lookAt, namesIn, openFolder, openFolderWithin, within } from './descend.ts'
import { identityOf } from './records.ts'
import { millisecondsOf } from './times.ts'

export interface FrozenTree {
  readonly tree: string
  /** When its freeze began, in ns since 1970. */
  readonly begunNs: bigint
}

interface Level {
  readonly path: Buffer
  /** Null where the whole folder is new. */
  readonly before: number | null
  readonly after: number
  readonly names: Buffer[]
  next: number
}

type Kind = 'file' | 'directory' | 'symlink'

interface Entry {
  readonly kind: Kind
  readonly stat: BigIntStats
}

const READ_BYTES = 256 * 1024
const GRANULARITY_NS = 2_000_000_000n
const one = Buffer.allocUnsafe(READ_BYTES)
const other = Buffer.allocUnsafe(READ_BYTES)

/** The stream's bytes in pieces of up to 256 KiB; they are the caller's. */
export function* changesBetween(after: FrozenTree, before: FrozenTree | null): Generator<Uint8Array, void> {
  const levels: Level[] = []
  let changes = 0
  try {
    levels.push(levelOf(Buffer.alloc(0), before === null ? null : openFolder(before.tree), openFolder(after.tree)))
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.names[level.next++]
      if (name === undefined) {
        levels.pop()
        close(level)
        continue
      }
      const path = below(level.path, name)
      const was = level.before === null ? null : entryAt(level.before, name)
      const is = entryAt(level.after, name)
      if (was !== null && was.kind !== is?.kind) {
        changes += 1
        yield guestChangeHeader({ kind: 'remove', path: encodePath(path) })
      }
      if (is === null) continue
      const same = was !== null && was.kind === is.kind ? was : null
      if (same === null || differs(level, name, same, is, before)) {
        changes += 1
        yield* putRecord(level.after, name, path, is)
      }
      if (is.kind === 'directory')
        levels.push(levelOf(path, same === null || level.before === null ? null : openFolderWithin(level.before, name), openFolderWithin(level.after, name)))
    }
    yield guestChangeHeader({ kind: 'end', changes })
  } finally {
    for (const level of levels) close(level)
  }
}

function levelOf(path: Buffer, before: number | null, after: number): Level {
  const names = new Map<string, Buffer>()
  for (const name of [...(before === null ? [] : namesIn(before)), ...namesIn(after)]) names.set(name.toString('latin1'), name)
  return { path, before, after, names: [...names.values()].sort(Buffer.compare), next: 0 }
}

function close(level: Level): void {
  closeQuietly(level.before)
  closeSync(level.after)
}

/** Null for what no checkpoint holds: nothing, a pipe, a socket, a device. */
function entryAt(folder: number, name: Buffer): Entry | null {
  const stat = lookAt(folder, name)
  if (stat === null) return null
  const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : null
  return kind === null ? null : { kind, stat }
}

function differs(level: Level, name: Buffer, was: Entry, is: Entry, before: FrozenTree | null): boolean {
  if ((was.stat.mode & 0o7777n) !== (is.stat.mode & 0o7777n)) return is.kind !== 'symlink'
  // A folder's time follows its entries and says nothing by itself.
  if (is.kind === 'directory' || level.before === null) return false
  if (is.kind === 'symlink') return !targetOf(level.before, name).equals(targetOf(level.after, name))
  if (was.stat.size !== is.stat.size || was.stat.mtimeNs !== is.stat.mtimeNs) return true
  if (was.stat.ino === is.stat.ino && was.stat.dev === is.stat.dev) return false
  // A snapshot keeps inodes and the time of the last change, which nobody can set; only what was changed within the clock's step of the freeze may be another.
  if (before !== null && identityOf(was.stat) === identityOf(is.stat) && was.stat.ctimeNs < before.begunNs - GRANULARITY_NS) return false
  return !sameBytes(within(level.before, name), within(level.after, name))
}

const targetOf = (folder: number, name: Buffer): Buffer => readlinkSync(within(folder, name), { encoding: 'buffer' })

function sameBytes(was: Buffer, is: Buffer): boolean {
  const [first, second] = [openSync(was, OPEN_FILE), openSync(is, OPEN_FILE)]
  try {
    for (;;) {
      const [left, right] = [readSync(first, one, 0, READ_BYTES, null), readSync(second, other, 0, READ_BYTES, null)]
      if (left !== right || !one.subarray(0, left).equals(other.subarray(0, right))) return false
      if (left === 0) return true
    }
  } finally {
    closeSync(first)
    closeSync(second)
  }
}

function* putRecord(folder: number, name: Buffer, path: Buffer, { kind, stat }: Entry): Generator<Uint8Array, void> {
  const header = (size: number): GuestChange => ({
    kind: 'put',
    path: encodePath(path),
    type: kind,
    mode: Number(stat.mode & 0o7777n),
    size,
    mtime_ms: millisecondsOf(stat.mtimeNs),
    link_target: kind === 'symlink' ? encodePath(targetOf(folder, name)) : null,
  })
  if (kind === 'directory') yield guestChangeHeader(header(0))
  else if (kind === 'symlink') yield guestChangeHeader(header(Number(stat.size)))
  else {
    const file = openSync(within(folder, name), OPEN_FILE)
    try {
      const { size } = fstatSync(file)
      yield guestChangeHeader(header(size))
      for (let left = size; left > 0; ) {
        const bytes = Buffer.allocUnsafe(Math.min(left, READ_BYTES))
        const read = readSync(file, bytes, 0, bytes.length, null)
        if (read === 0) throw new AutovibeError('substrate.failed', 'A file of a frozen tree is shorter than it was.')
        left -= read
        yield bytes.subarray(0, read)
      }
    } finally {
      closeSync(file)
    }
  }
}
