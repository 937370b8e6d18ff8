/** Gives a content back, whole or in its chunks, and never all of it before its hash is known to be right. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { type Chunk, decodeList } from './segments/chunk-list.ts'
import type { ObjectStore } from './segments/object-store.ts'
import { corrupt } from './store-errors.ts'

/** The content as a stream; it fails with `checkpoint.corrupt` instead of ending when the bytes are not those of the hash. */
export async function openContent(objects: ObjectStore, sha256: string): Promise<Readable> {
  if (!objects.has('content', sha256)) {
    const chunks = await chunksOf(objects, sha256)
    if (chunks !== null) return Readable.from(partsOf(objects, sha256, chunks), { objectMode: false })
  }
  return Readable.from([await objects.read('content', sha256)], { objectMode: false })
}

/** The chunks of a large content, null when there is no list of it. */
export async function chunksOf(objects: ObjectStore, sha256: string): Promise<readonly Chunk[] | null> {
  if (!objects.has('list', sha256)) await objects.refresh()
  return objects.has('list', sha256) ? decodeList(sha256, await objects.read('list', sha256)) : null
}

/** The bytes of a large content, chunk by chunk; the last follows only when the hash of all is right. */
export async function* partsOf(objects: ObjectStore, sha256: string, chunks: readonly Chunk[]): AsyncGenerator<Buffer, void> {
  const hash = createHash('sha256')
  for (const [index, chunk] of chunks.entries()) {
    const bytes = await objects.read('content', chunk.sha256)
    hash.update(bytes)
    if (bytes.length !== chunk.bytes) throw corrupt(`A chunk of the content ${sha256} has another length than its list says.`)
    if (index === chunks.length - 1 && hash.digest('hex') !== sha256) throw corrupt(`The content ${sha256} does not hash to its name.`)
    yield bytes
  }
}
