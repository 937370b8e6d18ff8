/** Reads what a segment says that it holds; of one whose table is damaged or cut off, what can still be read of its records. */
import { createHash, type KeyObject } from 'node:crypto'
import type { Backend } from '../backends/backend.ts'
import { unpack } from '../compression.ts'
import { isDamage } from '../store-errors.ts'
import {
  HEAD_BYTES,
  headOf,
  type ObjectRow,
  openTable,
  RECORD_BYTES_MAX,
  type RecordRow,
  SHA256_BYTES,
  type Table,
  TRAILER_BYTES,
  tableBytesOf,
  walkRecords,
} from './format.ts'

/** Most tables lie within it, so that one look suffices. */
const END_BYTES = 64 * 1024

export interface ReadTable extends Table {
  readonly damaged: boolean
}

/** Null when there is no such segment. */
export async function readTable(backend: Backend, name: string, id: Buffer, key: KeyObject, bytes: number): Promise<ReadTable | null> {
  const end = await backend.get(name, { offset: -END_BYTES, length: END_BYTES })
  if (end === null) return null
  const tableBytes = tableBytesOf(end.subarray(-TRAILER_BYTES))
  if (tableBytes !== null && tableBytes + TRAILER_BYTES <= bytes) {
    const wanted = tableBytes + TRAILER_BYTES
    const tail = wanted <= end.length ? end : await backend.get(name, { offset: bytes - wanted, length: wanted })
    const table = tail && tail.length >= wanted ? openTable(key, tail.subarray(tail.length - wanted, tail.length - TRAILER_BYTES)) : null
    if (table !== null) return { ...table, damaged: false }
  }
  const whole = await backend.get(name)
  return whole === null ? null : { ...(await saved(whole, id, key)), damaged: true }
}

/** What the records up to the first that is damaged hold, by their own bytes. */
async function saved(segment: Buffer, id: Buffer, key: KeyObject): Promise<Table> {
  const records: RecordRow[] = []
  const objects: ObjectRow[] = []
  if (!segment.subarray(0, HEAD_BYTES).equals(headOf(id))) return { records, objects }
  for (const { parts, offset, length, plainBytes, form, bytes } of walkRecords(key, segment)) {
    records.push({ offset, length, plainBytes })
    const plain = plainBytes > RECORD_BYTES_MAX ? null : await unpack({ form, bytes }, plainBytes).catch(nullIfDamaged)
    if (plain?.length !== plainBytes) continue
    let start = 0
    for (const part of parts) {
      const object = plain.subarray(start, start + part.bytes)
      // A list says itself which content it makes up.
      const sha256 = part.kind === 'list' ? Buffer.from(object.subarray(0, SHA256_BYTES)).toString('hex') : createHash('sha256').update(object).digest('hex')
      if (object.length === part.bytes && sha256.length === SHA256_BYTES * 2)
        objects.push({ sha256, kind: part.kind, record: records.length - 1, start, bytes: part.bytes })
      start += part.bytes
    }
  }
  return { records, objects }
}

function nullIfDamaged(error: unknown): null {
  if (isDamage(error)) return null
  throw error
}
