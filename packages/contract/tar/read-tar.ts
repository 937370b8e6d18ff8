/**
 * Reads a tar as it streams by: ustar, pax and the long names of GNU tar, as POSIX.1-2008 (pax) and the manual of GNU tar ("Basic Tar Format") describe them. Nothing in it is
 * trusted, and nothing is held but one header.
 */
import { BLOCK_BYTES, type TarEntry } from './entry.ts'
import { archiveInvalid, type Extended, readBlock, readRecords } from './read-header.ts'
import { StreamBytes } from './stream-bytes.ts'

export interface ReadEntry extends TarEntry {
  /** Of a file; what is not read of it is passed over. */
  readonly content: AsyncIterable<Uint8Array>
  /** Where the content begins in the archive. */
  readonly offset: number
}

/** Of one extended header: a path and a target of the longest kind, and attributes that nobody here needs. */
const EXTENDED_BYTES_MAX = 1024 * 1024
/** Of them one after the other, before an entry comes. */
const EXTENDED_MAX = 8
/** Entries and headers between them. */
const HEADERS_MAX = 4_000_000

/** The entries in their order, each with its content. `archive.invalid` for what is no tar, is cut off, or has something after its end. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<ReadEntry, void> {
  const bytes = new StreamBytes(source)
  try {
    let forAll: Extended = {}
    let forNext: Extended = {}
    let extended = 0
    for (let headers = 0; ; headers++) {
      if (headers > HEADERS_MAX) throw archiveInvalid(`it has more than ${HEADERS_MAX} headers`)
      const block = await bytes.exactly(BLOCK_BYTES)
      if (block.every((byte) => byte === 0)) return await nothingFollows(bytes)
      const header = readBlock(block)
      if (header.extends !== null) {
        if (++extended > EXTENDED_MAX) throw archiveInvalid('it describes one entry by header after header')
        if (header.size > EXTENDED_BYTES_MAX) throw archiveInvalid(`a header in it is larger than ${EXTENDED_BYTES_MAX} bytes`)
        const body = await bytes.exactly(header.size)
        await bytes.exactly(padding(header.size))
        const read = readRecords(header.extends, body)
        if (header.extends === 'all') forAll = { ...forAll, ...read }
        else forNext = { ...forNext, ...read }
        continue
      }
      const entry = header.entry({ ...forAll, ...forNext })
      forNext = {}
      extended = 0
      let left = entry.size
      const content = async function* (): AsyncGenerator<Uint8Array, void> {
        while (left > 0) {
          const chunk = await bytes.atMost(left)
          left -= chunk.length
          yield chunk
        }
      }
      yield { ...entry, content: content(), offset: bytes.position }
      while (left > 0) left -= (await bytes.atMost(left)).length
      await bytes.exactly(padding(entry.size))
    }
  } finally {
    await bytes.close()
  }
}

const padding = (size: number): number => (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES

/** Tools fill the last record with zeros. */
async function nothingFollows(bytes: StreamBytes): Promise<void> {
  for (let chunk = await bytes.next(); chunk !== null; chunk = await bytes.next())
    if (chunk.some((byte) => byte !== 0)) throw archiveInvalid('something follows its end')
}
