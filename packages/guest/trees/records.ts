/**
 * What the files of a tree were when it was frozen: by that the next freeze knows which of them nobody has touched. Kept in the order of the walk, so that two are compared as
 * they stream by.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'

export interface FileRecord {
  readonly path: Buffer
  /** Inode, size, mode, times in ns: the kernel lets nobody change a file without a new time of change, and nobody set that. */
  readonly identity: string
  /** Time of the last change in ns since 1970. */
  readonly changedNs: bigint
}

interface Identified {
  readonly ino: bigint
  readonly size: bigint
  readonly mode: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

export const identityOf = ({ ino, size, mode, mtimeNs, ctimeNs }: Identified): string => `${ino} ${size} ${mode} ${mtimeNs} ${ctimeNs}`

const BUFFER_BYTES = 256 * 1024
/** A path and five numbers. */
const RECORD_BYTES_MAX = 4095 + 200

export class RecordWriter {
  readonly #file: number
  #parts: Buffer[] = []
  #bytes = 0

  constructor(path: string) {
    this.#file = openSync(path, 'wx', 0o600)
  }

  add(path: Buffer, identity: string): void {
    const record = Buffer.concat([path, NUL, Buffer.from(identity, 'latin1'), NUL])
    this.#parts.push(record)
    this.#bytes += record.length
    if (this.#bytes >= BUFFER_BYTES) this.#flush()
  }

  close(): void {
    this.#flush()
    closeSync(this.#file)
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#parts)
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at)
    this.#parts = []
    this.#bytes = 0
  }
}

export class RecordReader {
  readonly #file: number
  #bytes = Buffer.alloc(0)
  #next: FileRecord | null

  constructor(path: string) {
    this.#file = openSync(path, 'r')
    this.#next = this.#read()
  }

  /** The record of this path; paths are asked for in the order of the walk. */
  find(path: Buffer): FileRecord | null {
    for (let next = this.#next; next !== null; next = this.#next) {
      const order = compareWalked(next.path, path)
      if (order > 0) return null
      this.#next = this.#read()
      if (order === 0) return next
    }
    return null
  }

  close(): void {
    closeSync(this.#file)
  }

  #read(): FileRecord | null {
    const path = this.#field()
    const identity = path === null ? null : this.#field()
    if (path === null || identity === null) return null
    const text = identity.toString('latin1')
    return { path, identity: text, changedNs: BigInt(text.slice(text.lastIndexOf(' ') + 1)) }
  }

  #field(): Buffer | null {
    for (;;) {
      const end = this.#bytes.indexOf(0)
      if (end !== -1) {
        const field = this.#bytes.subarray(0, end)
        this.#bytes = this.#bytes.subarray(end + 1)
        return field
      }
      // A record that has no end is the last of a file that was cut off.
      if (this.#bytes.length > RECORD_BYTES_MAX) return null
      const more = Buffer.alloc(BUFFER_BYTES)
      const read = readSync(this.#file, more, 0, BUFFER_BYTES, null)
      if (read === 0) return null
      this.#bytes = Buffer.concat([this.#bytes, more.subarray(0, read)])
    }
  }
}

/** The order of a walk that goes into each folder at its name: that of the bytes, with the slash before all others. */
function compareWalked(a: Buffer, b: Buffer): number {
  const shorter = Math.min(a.length, b.length)
  for (let at = 0; at < shorter; at++) {
    const [one, other] = [a[at] ?? 0, b[at] ?? 0]
    if (one !== other) return one === SLASH ? -1 : other === SLASH ? 1 : one - other
  }
  return a.length - b.length
}

const NUL = Buffer.of(0)
const SLASH = 0x2f
