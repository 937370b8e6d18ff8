/** Stores one content under its SHA-256: read once, in bounded memory, and written only when the store lacks it. */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { compressor, decompressor, pack } from './compression.ts'
import { discard, type Form, type Kind, type Layout, writeDurable } from './layout.ts'
import { storeError, treeChanged, treeError } from './store-errors.ts'

/** Up to this size a content is held in memory, so that its hash is known before anything is compressed or written. */
export const IN_MEMORY_BYTES = 1024 * 1024

export interface WrittenObject {
  readonly sha256: string
  /** What the store grew by. */
  readonly newBytes: number
}

export interface ObjectWriter {
  /** Stores what the stream gives, which must be `size` bytes; otherwise a retryable `substrate.failed` that says `name`. `substrate.disk_full` when the disk is. */
  write(name: string, source: Readable, size: number, signal: AbortSignal): Promise<WrittenObject>
  /** Stores bytes at hand. */
  writeBytes(kind: Kind, bytes: Uint8Array): Promise<WrittenObject>
}

export function createObjectWriter(layout: Layout): ObjectWriter {
  const inFlight = new Map<string, Promise<number>>()

  /** Captures that run at once meet at equal contents: one writes, the others wait for it. */
  function once(key: string, write: () => Promise<number>): Promise<number> {
    const other = inFlight.get(key)
    if (other !== undefined) return other.then(() => 0)
    const mine = write().finally(() => inFlight.delete(key))
    inFlight.set(key, mine)
    return mine
  }

  async function writeBytes(kind: Kind, bytes: Uint8Array): Promise<WrittenObject> {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const newBytes = await once(`${kind}/${sha256}`, async () => {
      if ((await layout.find(kind, sha256)) !== null) return 0
      const packed = await pack(bytes)
      const temporary = layout.temporary()
      await writeDurable(temporary, packed.bytes)
      await layout.publish(temporary, kind, sha256, packed.form)
      return packed.bytes.length
    }).catch((error: unknown) => {
      throw storeError(error, layout.root)
    })
    return { sha256, newBytes }
  }

  async function writeLarge(name: string, source: Readable, size: number, signal: AbortSignal): Promise<WrittenObject> {
    const temporary = layout.temporary()
    const hash = createHash('sha256')
    try {
      const hashed = measured(name, source, size, (chunk) => hash.update(chunk))
      await pipeline(hashed, compressor(), createWriteStream(temporary, { flags: 'wx', mode: 0o600, flush: true }), { signal })
      const sha256 = hash.digest('hex')
      const newBytes = await once(`objects/${sha256}`, async () => {
        if ((await layout.find('objects', sha256)) !== null) return 0
        const { size: bytes } = await stat(temporary)
        if (bytes < size) return await publishAs('zst', temporary, sha256, bytes)
        const raw = layout.temporary()
        try {
          await pipeline(createReadStream(temporary), decompressor(), createWriteStream(raw, { flags: 'wx', mode: 0o600, flush: true }))
          return await publishAs('raw', raw, sha256, size)
        } finally {
          await discard(raw)
        }
      })
      return { sha256, newBytes }
    } catch (error) {
      throw storeError(error, layout.root)
    } finally {
      await discard(temporary)
    }
  }

  async function publishAs(form: Form, temporary: string, sha256: string, bytes: number): Promise<number> {
    await layout.publish(temporary, 'objects', sha256, form)
    return bytes
  }

  return {
    writeBytes,
    async write(name, source, size, signal) {
      addAbortSignal(signal, source)
      try {
        if (size > IN_MEMORY_BYTES) return await writeLarge(name, source, size, signal)
        const chunks: Uint8Array[] = []
        for await (const chunk of measured(name, source, size)) chunks.push(chunk)
        return await writeBytes('objects', chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks))
      } finally {
        source.destroy()
      }
    },
  }
}

/** The stream's chunks, for as long as they do not exceed the size they were announced with; errors become those of the tree. */
async function* measured(name: string, source: Readable, size: number, seen?: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array, void> {
  let bytes = 0
  try {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      bytes += chunk.length
      if (bytes > size) throw treeChanged(name, `it grew beyond ${size} bytes`)
      seen?.(chunk)
      yield chunk
    }
  } catch (error) {
    throw treeError(name, error)
  }
  if (bytes !== size) throw treeChanged(name, `it shrank from ${size} to ${bytes} bytes`)
}
