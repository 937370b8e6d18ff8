/** Gives a tar as the changes of an empty tree, in the order and the one pass that a tar allows; a hard link reads its file's content once more. */

import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { type ReadEntry, readTar } from '@autovibe/contract'
import { ImportedTree } from '@autovibe/core/checkpoints/imported-tree.ts'
import type { TreeChange } from '../../substrates/substrate.ts'

export interface TarToImport {
  /** The project's files, or everything that a checkpoint holds. */
  readonly contents: 'project' | 'all'
  /** For folders that it does not tell of. */
  readonly timeMs: number
}

/** Held in memory, so that the next entries are read while these are stored. */
const SMALL_BYTES = 1024 * 1024
const TOP = ['project', 'home']

/**
 * `file`: the tar itself, once it lies on a disk; null while it is only looked at, and then the contents of hard links are empty. `archive.invalid` for a tar that is none, or
 * that holds what no tree can.
 */
export async function* treeOfTar(tar: AsyncIterable<Uint8Array>, file: string | null, { contents, timeMs }: TarToImport): AsyncGenerator<TreeChange, void> {
  const tree = new ImportedTree(contents === 'project' ? 'project' : null, timeMs)
  // Before what lies in it; a tar of everything may tell it itself.
  if (contents === 'project') yield* tree.complete(TOP).map((entry) => put(entry, empty))
  for await (const tarEntry of readTar(tar)) {
    const { entries, offset } = tree.admit(tarEntry, tarEntry.offset)
    const entry = entries.at(-1)
    if (entry === undefined) continue
    yield* entries.slice(0, -1).map((parent) => put(parent, empty))
    if (entry.type !== 'file' || entry.size === 0) yield put(entry, empty)
    else if (tarEntry.type === 'link') yield put(entry, file === null ? empty : () => createReadStream(file, { start: offset, end: offset + entry.size - 1 }))
    else if (entry.size <= SMALL_BYTES) {
      const content = await wholeOf(tarEntry)
      yield put(entry, () => Readable.from([content], { objectMode: false }))
    } else {
      const content = Readable.from(tarEntry.content, { objectMode: false })
      yield put(entry, () => content)
      // Nothing that comes later can be read before this was.
      if (!content.closed) await once(content, 'close')
    }
  }
  if (contents === 'all') yield* tree.complete(TOP).map((entry) => put(entry, empty))
}

const put = (entry: Extract<TreeChange, { kind: 'put' }>['entry'], open: () => Readable): TreeChange => ({ kind: 'put', entry, open })
const empty = (): Readable => Readable.from([], { objectMode: false })

async function wholeOf({ content }: ReadEntry): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of content) parts.push(Buffer.from(chunk))
  return Buffer.concat(parts)
}
