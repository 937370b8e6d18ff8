/** Looks at every byte of a segment: what a bit that flips anywhere changes, it finds. */
import type { KeyObject } from 'node:crypto'
import { HEAD_BYTES, headOf, openTable, type Part, type Table, TRAILER_BYTES, tableBytesOf, walkRecords } from './format.ts'

/** What is wrong as a sentence's end, null when nothing is. It vouches for the sealed bytes; whether an object hashes to its name is seen when it is read. */
export function segmentProblem(segment: Buffer, id: Buffer, key: KeyObject): string | null {
  if (!segment.subarray(0, HEAD_BYTES).equals(headOf(id))) return 'its head is not that of a segment of this name'
  const tableBytes = segment.length < TRAILER_BYTES ? null : tableBytesOf(segment.subarray(-TRAILER_BYTES))
  if (tableBytes === null) return 'it has no end'
  const recordsEnd = segment.length - TRAILER_BYTES - tableBytes
  const table = recordsEnd < HEAD_BYTES ? null : openTable(key, segment.subarray(recordsEnd, recordsEnd + tableBytes))
  if (table === null) return 'its table has other bytes than were written'
  let [at, count, object] = [HEAD_BYTES, 0, 0]
  for (const { offset, length, plainBytes, parts } of walkRecords(key, segment.subarray(0, recordsEnd))) {
    const row = table.records[count]
    if (row?.offset !== offset || row.length !== length || row.plainBytes !== plainBytes || !areParts(table, count, parts, object))
      return `its table tells otherwise of record ${count}`
    at = offset + length
    object += parts.length
    count++
  }
  return count === table.records.length && object === table.objects.length && at === recordsEnd ? null : `record ${count} has other bytes than were written`
}

/** Objects stand in the table in the order of their records, and in those in the order in which they lie. */
function areParts({ objects }: Table, record: number, parts: readonly Part[], from: number): boolean {
  return parts.every(({ kind, bytes }, index) => {
    const row = objects[from + index]
    return row?.record === record && row.kind === kind && row.bytes === bytes
  })
}
