/** Copies one file of a tree that may be changing, by its handle: what is opened is what is copied, whatever its name leads to meanwhile. */
import { spawnSync } from 'node:child_process'
import { type BigIntStats, closeSync, constants, copyFileSync, fchmodSync, fchownSync, fstatSync, futimesSync, openSync, readSync, writeSync } from 'node:fs'
import { AutovibeError } from '@autovibe/contract'
import { gone } from './descend.ts'
import { identityOf } from './records.ts'
import { microsecondsOf, timeText } from './times.ts'

/** Whom files of trees belong to; null: nobody else than this process's user. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

export interface CopiedFile {
  /** Of what was copied; null when it changed meanwhile. */
  readonly identity: string | null
}

/** Never blocks on a pipe, never takes a terminal, never follows. */
export const OPEN_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY
/** Read and written in one piece. */
const SMALL_BYTES = 256 * 1024
const SPARSE_TIMEOUT_MS = 10 * 60_000
const BLOCK_BYTES = 512n

const small = Buffer.allocUnsafe(SMALL_BYTES)

/** Null when there is no such file any more. */
export function copyFile(from: Buffer, to: Buffer, owner: Owner | null): CopiedFile | null {
  const source = gone(() => openSync(from, OPEN_FILE))
  if (source === null) return null
  try {
    const before = fstatSync(source, { bigint: true })
    if (!before.isFile()) return null
    const copied = copyContent(source, before, to)
    const after = fstatSync(source, { bigint: true })
    const identity = identityOf(after)
    finishFile(to, owner, after)
    return { identity: copied && identityOf(before) === identity ? identity : null }
  } finally {
    closeSync(source)
  }
}

/** False when it had fewer or more bytes than it was said to have. */
function copyContent(source: number, { size, blocks }: BigIntStats, to: Buffer): boolean {
  if (size <= SMALL_BYTES) return copySmall(source, Number(size), to)
  if (blocks * BLOCK_BYTES < size) copySparse(source, to)
  else copyFileSync(`/proc/self/fd/${source}`, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  return true
}

function copySmall(source: number, size: number, to: Buffer): boolean {
  let bytes = 0
  for (let read = -1; read !== 0 && bytes < size; bytes += read) read = readSync(source, small, bytes, size - bytes, bytes)
  const target = openSync(to, 'wx', 0o600)
  try {
    for (let at = 0; at < bytes; ) at += writeSync(target, small, at, bytes - at)
  } finally {
    closeSync(target)
  }
  return bytes === size
}

/** Node cannot ask where a file has holes; cp(1) can, and is given the open file. */
function copySparse(source: number, to: Buffer): void {
  const made = openSync(to, 'wx', 0o600)
  try {
    const { status, stderr } = spawnSync('cp', ['--sparse=auto', '--reflink=auto', '--', '/proc/self/fd/3', '/proc/self/fd/4'], {
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe', source, made],
      timeout: SPARSE_TIMEOUT_MS,
    })
    if (status === 0) return
    const internal = stderr?.toString('utf8').slice(0, 500) ?? ''
    const isFull = /No space left|quota exceeded/i.test(internal)
    throw new AutovibeError(isFull ? 'substrate.disk_full' : 'substrate.failed', 'A file of the machine’s tree could not be copied.', { internal })
  } finally {
    closeSync(made)
  }
}

/** Its owner first: a change of owner takes set-user-id away. */
function finishFile(path: Buffer, owner: Owner | null, { mode, mtimeNs }: BigIntStats): void {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    finish(file, owner, Number(mode & 0o7777n), microsecondsOf(mtimeNs))
  } finally {
    closeSync(file)
  }
}

/** An open file or folder gets what it is to have. */
export function finish(handle: number, owner: Owner | null, mode: number, mtimeUs: bigint): void {
  if (owner !== null) fchownSync(handle, owner.uid, owner.gid)
  fchmodSync(handle, mode)
  futimesSync(handle, timeText(mtimeUs), timeText(mtimeUs))
}
