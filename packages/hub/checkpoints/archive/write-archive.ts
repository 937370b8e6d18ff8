/** A checkpoint as a tar: read from the store entry by entry, each content checked, with no more in memory than a few small files. */
import { addAbortSignal } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { type CheckpointId, type ManifestEntry, tarComment, tarEnd, tarHeader, tarPadding } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import type { ProjectStore } from '../store.ts'
import { corrupt } from '../store-errors.ts'
import type { ChosenEntry } from './choose-entries.ts'

/** Contents up to this size are read while earlier ones are sent, so many at once. */
const SMALL_BYTES = 1024 * 1024
const AHEAD = 8
/** Headers of small files are joined up to this size: a chunk for each would cost more than the reading. */
const CHUNK_BYTES = 256 * 1024

interface Item {
  readonly entry: ManifestEntry
  readonly path: string
  /** Null: it has none, or is too large to be read ahead. */
  readonly content: Promise<Buffer> | null
}

/** The bytes of the tar. Fails with `checkpoint.corrupt` at the first part that is missing or damaged; whoever got what came before it has no whole tar. */
export async function* archiveOf(
  store: ProjectStore,
  checkpointId: CheckpointId,
  entries: AsyncIterable<ChosenEntry>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  let waiting: Uint8Array[] = [tarComment(`autovibe checkpoint ${checkpointId}`)]
  let bytes = 0
  const take = (...parts: readonly Uint8Array[]): void => {
    waiting.push(...parts)
    for (const { length } of parts) bytes += length
  }
  const taken = (): Buffer => {
    const chunk = Buffer.concat(waiting)
    waiting = []
    bytes = 0
    return chunk
  }
  for await (const { entry, path, content } of readAhead(store, entries, signal)) {
    signal.throwIfAborted()
    const { type, mode, size, mtime_ms: mtimeMs, link_target } = entry
    const length = type === 'file' ? size : 0
    take(tarHeader({ path: decodePath(path), type, mode, size: length, mtimeMs, target: link_target === null ? null : decodePath(link_target) }))
    if (content !== null) {
      const whole = await content
      if (whole.length !== length) throw otherSize(entry)
      take(whole, tarPadding(length))
    } else if (length > 0) {
      yield taken()
      yield* largeContent(store, entry, signal)
      take(tarPadding(length))
    }
    if (bytes >= CHUNK_BYTES) yield taken()
  }
  take(tarEnd())
  yield taken()
}

async function* readAhead(store: ProjectStore, entries: AsyncIterable<ChosenEntry>, signal: AbortSignal): AsyncGenerator<Item, void> {
  const ahead: Item[] = []
  for await (const { entry, path } of entries) {
    signal.throwIfAborted()
    const isSmall = entry.type === 'file' && entry.size > 0 && entry.size <= SMALL_BYTES && entry.sha256 !== null
    const content = isSmall && entry.sha256 !== null ? readWhole(store, entry.sha256) : null
    // One that fails is heard of when its turn comes; until then, and when it never comes, it is nobody's.
    content?.catch(() => undefined)
    ahead.push({ entry, path, content })
    if (ahead.length > AHEAD) yield ahead.shift() as Item
  }
  yield* ahead
}

const readWhole = async (store: ProjectStore, sha256: string): Promise<Buffer> => buffer(await store.open(sha256))

async function* largeContent(store: ProjectStore, entry: ManifestEntry, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const stream = addAbortSignal(signal, await store.open(entry.sha256 ?? ''))
  let left = entry.size
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      left -= chunk.length
      if (left < 0) throw otherSize(entry)
      yield chunk
    }
  } finally {
    stream.destroy()
  }
  if (left !== 0) throw otherSize(entry)
}

const otherSize = (entry: ManifestEntry) => corrupt(`The content of ${quotePath(entry.path)} has another size than its manifest says.`)
