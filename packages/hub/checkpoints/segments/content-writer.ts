/** Stores contents: a small one as one object, a large one as chunks and the list of them, read once and in bounded memory. */
import { createHash, hkdfSync } from 'node:crypto'
import { addAbortSignal, type Readable } from 'node:stream'
import { CHUNK_BYTES, chunkLength, GEARS } from '@autovibe/core/checkpoints/chunks.ts'
import { treeChanged, treeError } from '../store-errors.ts'
import { encodeList } from './chunk-list.ts'
import type { Kind } from './format.ts'
import type { ObjectStore } from './object-store.ts'
import { sha256Of } from './parts.ts'
import type { SegmentWriter } from './segment-writer.ts'

/** Up to this size a content is one object; beyond it is parted. */
export const WHOLE_BYTES = 1024 * 1024

export class ContentWriter {
  readonly #objects: ObjectStore
  readonly #writer: SegmentWriter
  readonly #gears: Uint32Array
  /** Segments that may go: what lies in them counts as missing. */
  readonly #condemned: ReadonlySet<string>

  constructor(objects: ObjectStore, writer: SegmentWriter, gears: Uint32Array, condemned: ReadonlySet<string>) {
    this.#objects = objects
    this.#writer = writer
    this.#gears = gears
    this.#condemned = condemned
  }

  /** Stores bytes at hand and answers their SHA-256. */
  async writeBytes(kind: Kind, bytes: Uint8Array): Promise<string> {
    const sha256 = sha256Of(bytes)
    await this.#store(kind, sha256, bytes)
    return sha256
  }

  /** The same for a content of which the SHA-256 is known to be this. */
  async writeHashed(sha256: string, bytes: Uint8Array): Promise<string> {
    await this.#store('content', sha256, bytes)
    return sha256
  }

  /** Stores what the stream gives, which must be `size` bytes, and answers its SHA-256; otherwise a retryable `substrate.failed` that says `name`. */
  async write(name: string, source: Readable, size: number, signal: AbortSignal): Promise<string> {
    addAbortSignal(signal, source)
    try {
      const chunks = measured(name, source, size)
      return size > WHOLE_BYTES ? await this.#writeParted(chunks) : await this.writeBytes('content', await joined(chunks))
    } finally {
      source.destroy()
    }
  }

  async #writeParted(source: AsyncIterable<Uint8Array>): Promise<string> {
    const hash = createHash('sha256')
    const parts: { sha256: string; bytes: number }[] = []
    let held = Buffer.alloc(0)
    const cut = async (isLast: boolean): Promise<void> => {
      let at = 0
      while (held.length - at >= CHUNK_BYTES.max || (isLast && at < held.length)) {
        const length = chunkLength(held.subarray(at, at + CHUNK_BYTES.max), this.#gears)
        parts.push({ sha256: await this.writeBytes('content', held.subarray(at, at + length)), bytes: length })
        at += length
      }
      held = held.subarray(at)
    }
    let waiting: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of source) {
      hash.update(chunk)
      waiting.push(chunk)
      bytes += chunk.length
      // Joined now and then: to join at every piece of 64 KiB would copy the longest chunk again and again.
      if (bytes < CHUNK_BYTES.max) continue
      held = Buffer.concat([held, ...waiting])
      waiting = []
      bytes = 0
      await cut(false)
    }
    held = Buffer.concat([held, ...waiting])
    await cut(true)
    const sha256 = hash.digest('hex')
    await this.#store('list', sha256, encodeList(sha256, parts))
    return sha256
  }

  async #store(kind: Kind, sha256: string, bytes: Uint8Array): Promise<void> {
    // Two equal contents that are read at once: the writer has the first from this moment on.
    if (!this.#objects.keeps(kind, sha256, this.#condemned) && !this.#writer.has(kind, sha256)) await this.#writer.add(kind, sha256, bytes)
  }
}

/** Of the project's key, so that from the lengths of what lies in a store nobody can tell which files these are. */
export function gearsOf(projectKey: Buffer): Uint32Array {
  const bytes = Buffer.from(hkdfSync('sha256', projectKey, Buffer.alloc(0), 'autovibe checkpoint chunks', GEARS * 4))
  return Uint32Array.from({ length: GEARS }, (_, gear) => bytes.readUInt32LE(gear * 4))
}

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return all.length === 1 && all[0] !== undefined ? all[0] : Buffer.concat(all)
}

/** The stream's chunks, for as long as they do not exceed the size they were announced with; errors become those of the tree. */
async function* measured(name: string, source: Readable, size: number): AsyncGenerator<Uint8Array, void> {
  let bytes = 0
  try {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      bytes += chunk.length
      if (bytes > size) throw treeChanged(name, `it grew beyond ${size} bytes`)
      yield chunk
    }
  } catch (error) {
    throw treeError(name, error)
  }
  if (bytes !== size) throw treeChanged(name, `it shrank from ${size} to ${bytes} bytes`)
}
