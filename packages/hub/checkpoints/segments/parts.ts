/** Opens a record of a segment, and takes an object out of it, each checked. */
import { createHash, type KeyObject } from 'node:crypto'
import { unpack } from '../compression.ts'
import { isDamage } from '../store-errors.ts'
import { type Kind, openRecord, RECORD_BYTES_MAX, type RecordRow, SHA256_BYTES } from './format.ts'
import type { Place } from './object-index.ts'

/** Null when the record has other bytes than were written. */
export async function plainOf(key: KeyObject, number: number, row: RecordRow, sealed: Uint8Array): Promise<Buffer | null> {
  const record = openRecord(key, number, sealed)
  if (record === null || record.plainBytes !== row.plainBytes || row.plainBytes > RECORD_BYTES_MAX) return null
  try {
    const plain = await unpack(record, record.plainBytes)
    return plain.length === row.plainBytes ? Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength) : null
  } catch (error) {
    if (isDamage(error)) return null
    throw error
  }
}

/** One object of a record; null when it is not what its name says. */
export function partOrNull(kind: Kind, sha256: string, { start, bytes }: Pick<Place, 'start' | 'bytes'>, block: Buffer): Buffer | null {
  const part = block.subarray(start, start + bytes)
  // A list is named by the content that it makes up: it says so itself, and the rest is checked when that is read.
  const name = kind === 'list' ? part.toString('hex', 0, SHA256_BYTES) : sha256Of(part)
  return part.length === bytes && name === sha256 ? part : null
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
