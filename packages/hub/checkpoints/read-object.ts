/** Reads one content back from the disk, and never gives all of it before its hash is known to be right. */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream'
import { decompressor, unpack } from './compression.ts'
import type { Layout, Stored } from './layout.ts'
import { corrupt, errnoOf, storeError } from './store-errors.ts'
import { IN_MEMORY_BYTES } from './write-object.ts'

const DAMAGE = new Set(['Z_BUF_ERROR', 'Z_DATA_ERROR', 'ERR_BUFFER_TOO_LARGE', 'EIO', 'ENOENT', 'checkpoint.corrupt'])

/** The content as a stream; it fails with `checkpoint.corrupt` instead of ending when the bytes are not those of the hash. */
export async function openObject(layout: Layout, sha256: string): Promise<Readable> {
  const stored = await layout.find('objects', sha256)
  if (stored === null) throw corrupt(`The content ${sha256} is missing from the store.`)
  return checked(stored, sha256)
}

/** Whether the store holds these bytes, whole and unchanged; reads at most `size` bytes of content, however the damage looks. */
export async function isObjectSound(layout: Layout, sha256: string, size: number, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted()
  const stored = await layout.find('objects', sha256)
  // The store keeps the smaller form, so that more bytes than the content has cannot be right.
  if (stored === null || stored.bytes > size) return false
  try {
    return size <= IN_MEMORY_BYTES ? await isSmallSound(stored, sha256, size) : await isLargeSound(stored, sha256, size, signal)
  } catch (error) {
    signal.throwIfAborted()
    if (isDamage(error)) return false
    throw storeError(error, layout.root)
  }
}

async function isSmallSound(stored: Stored, sha256: string, size: number): Promise<boolean> {
  const bytes = await unpack({ form: stored.form, bytes: await readFile(stored.path) }, size)
  return bytes.length === size && createHash('sha256').update(bytes).digest('hex') === sha256
}

async function isLargeSound(stored: Stored, sha256: string, size: number, signal: AbortSignal): Promise<boolean> {
  let bytes = 0
  for await (const chunk of checked(stored, sha256)) {
    signal.throwIfAborted()
    bytes += (chunk as Uint8Array).length
    if (bytes > size) return false
  }
  return bytes === size
}

function checked(stored: Stored, sha256: string): Readable {
  const source = createReadStream(stored.path)
  const checker = new HashChecker(sha256)
  // The error reaches the reader through the checker, which the pipeline destroys with it.
  const done = (): void => undefined
  if (stored.form === 'zst') pipeline(source, decompressor(), checker, done)
  else pipeline(source, checker, done)
  return checker
}

/** Passes bytes on one chunk late, so that the last one follows only when the hash of all is right. */
class HashChecker extends Transform {
  readonly #hash: Hash = createHash('sha256')
  readonly #expected: string
  #held: Uint8Array | null = null

  constructor(expected: string) {
    super()
    this.#expected = expected
  }

  override _transform(chunk: Uint8Array, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#hash.update(chunk)
    const held = this.#held
    this.#held = chunk
    done(null, held ?? undefined)
  }

  override _flush(done: TransformCallback): void {
    if (this.#hash.digest('hex') !== this.#expected) done(corrupt(`The content ${this.#expected} does not hash to its name.`))
    else done(null, this.#held ?? undefined)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    done(error !== null && isDamage(error) ? corrupt(`The content ${this.#expected} cannot be read back.`, error) : error)
  }
}

/** What zstd says of bytes that are no frame, end early or are too long, and what the disk says of a sector or a file that is gone. */
export function isDamage(error: unknown): boolean {
  const code = errnoOf(error)
  return code !== null && (code.startsWith('ZSTD_') || DAMAGE.has(code))
}
