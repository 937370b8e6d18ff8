/** The thread's side of host-files.ts: reads and writes many small files, one system call after the other, which takes a fifth of the time of asking libuv for each. */
import { createHash } from 'node:crypto'
import { closeSync, constants, fchmodSync, fstatSync, futimesSync, openSync, readSync, writeSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { reachSync } from '../../paths/long-path.ts'

/** Paths are bytes, one character each: as strings they cross over without what lies beside them in memory. */
export interface ReadOrder {
  readonly path: string
  readonly size: number
}
export interface WriteOrder {
  readonly path: string
  /** Of `bytes` of the whole order, which hold one file after the other. */
  readonly size: number
  readonly mode: number
  /** As core's fileTime gives it. */
  readonly time: string
}
export type Order =
  | { readonly number: number; readonly reads: readonly ReadOrder[] }
  | { readonly number: number; readonly writes: readonly WriteOrder[]; readonly bytes: ArrayBuffer }

/** Of a file that could not be read or written: the system's code. `EGREW`, `ESHRANK`: it is no longer as long as was said; `ENOTFILE`: it is something else now. */
export interface Failure {
  readonly code: string
  readonly message: string
}
export interface Answer {
  readonly number: number
  /** For each file null, or why not. */
  readonly failures: readonly (Failure | null)[]
  /** Of reads: their SHA-256 one after the other. */
  readonly hashes: ArrayBuffer | null
  /** Of reads: their bytes as long as they were said to be. Of writes: the buffer of the order, given back. */
  readonly bytes: ArrayBuffer
}

const HASH_BYTES = 32
/** What has become a pipe meanwhile must not be waited for. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const WRITE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const MODE_AT_FIRST = 0o600
const beyond = Buffer.alloc(1)

parentPort?.on('message', (order: Order) => {
  const answer = 'reads' in order ? readAll(order) : writeAll(order)
  parentPort?.postMessage(
    answer,
    [answer.hashes, answer.bytes].filter((each) => each !== null),
  )
})

function readAll({ number, reads }: Extract<Order, { reads: unknown }>): Answer {
  const bytes = Buffer.from(new ArrayBuffer(reads.reduce((sum, { size }) => sum + size, 0)))
  const hashes = Buffer.from(new ArrayBuffer(reads.length * HASH_BYTES))
  let at = 0
  const failures = reads.map(({ path, size }, index) => {
    const into = bytes.subarray(at, at + size)
    at += size
    return attempt(() => {
      const failure = read(path, into)
      createHash('sha256')
        .update(into)
        .digest()
        .copy(hashes, index * HASH_BYTES)
      return failure
    })
  })
  return { number, failures, hashes: hashes.buffer, bytes: bytes.buffer }
}

function read(path: string, into: Buffer): Failure | null {
  const file = reachSync(Buffer.from(path, 'latin1'), (near) => openSync(near, READ_FLAGS))
  try {
    if (!fstatSync(file).isFile()) return { code: 'ENOTFILE', message: 'it is no longer a file' }
    for (let got = 0; got < into.length; ) {
      const more = readSync(file, into, got, into.length - got, null)
      if (more === 0) return { code: 'ESHRANK', message: `it shrank from ${into.length} to ${got} bytes` }
      got += more
    }
    return readSync(file, beyond, 0, 1, null) === 0 ? null : { code: 'EGREW', message: `it grew beyond ${into.length} bytes` }
  } finally {
    closeSync(file)
  }
}

function writeAll({ number, writes, bytes }: Extract<Order, { writes: unknown }>): Answer {
  let at = 0
  const failures = writes.map((order) => {
    const content = Buffer.from(bytes, at, order.size)
    at += order.size
    return attempt(() => write(order, content))
  })
  return { number, failures, hashes: null, bytes }
}

function write({ path, mode, time }: WriteOrder, content: Buffer): null {
  const file = reachSync(Buffer.from(path, 'latin1'), (near) => openSync(near, WRITE_FLAGS, MODE_AT_FIRST))
  try {
    for (let put = 0; put < content.length; ) put += writeSync(file, content, put)
    if (mode !== MODE_AT_FIRST) fchmodSync(file, mode)
    futimesSync(file, time, time)
    return null
  } finally {
    closeSync(file)
  }
}

function attempt(work: () => Failure | null): Failure | null {
  try {
    return work()
  } catch (error) {
    const { code = 'EUNKNOWN', message } = error as NodeJS.ErrnoException
    return { code, message }
  }
}
