/** The bytes behind a file or a link, as git would hold them, whole and bounded; and what of them is a text. */
import { isUtf8 } from 'node:buffer'
import type { ManifestEntry } from '@autovibe/contract'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import type { ProjectStore } from '../store.ts'
import { corrupt } from '../store-errors.ts'

/** Larger texts are shown as bytes: to compare them takes too long, and nobody reads them. */
export const TEXT_BYTES_MAX = 512 * 1024
/** Larger contents are not shown at all: they are held whole. */
export const CONTENT_BYTES_MAX = 8 * 1024 * 1024

/** Empty for what is not there. `checkpoint.corrupt` when it is damaged or longer than its manifest says; only for what is no larger than the limit above. */
export async function contentOf(store: ProjectStore, entry: ManifestEntry | null): Promise<Buffer> {
  if (entry === null) return Buffer.alloc(0)
  if (entry.sha256 === null) return Buffer.from(decodePath(entry.link_target ?? ''))
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (await store.open(entry.sha256)) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > entry.size) throw corrupt(`The content ${entry.sha256} is longer than its manifest says.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

export type Sides = readonly [before: Buffer, after: Buffer]

export const sidesOf = (store: ProjectStore, before: ManifestEntry | null, after: ManifestEntry | null): Promise<Sides> =>
  Promise.all([contentOf(store, before), contentOf(store, after)])

/** UTF-8 without a NUL, which is git's own sign of a binary file. */
export const isText = (bytes: Buffer): boolean => bytes.length <= TEXT_BYTES_MAX && isUtf8(bytes) && !bytes.includes(0)
