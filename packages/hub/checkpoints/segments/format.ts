/**
 * The form of a segment, the one kind of file that holds what checkpoints are made of (docs/reference/checkpoint-format.md): a head, sealed records one after another, a sealed
 * table of what lies where, and an end. A record holds the plain bytes of one large or many small objects, compressed together. Every number is little-endian. A segment's key belongs to
 * it alone, so that a record's place is a nonce that never comes twice.
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'

export const SEGMENT_ID_BYTES = 16
export const SHA256_BYTES = 32
const MAGIC = Buffer.from('AVSEG\0\0\x01', 'latin1')
const END_MAGIC = Buffer.from('AVEND\0\0\x01', 'latin1')
export const HEAD_BYTES = MAGIC.length + SEGMENT_ID_BYTES
/** Length of the sealed table (4), zeros (4), magic (8). */
export const TRAILER_BYTES = 16
const TAG_BYTES = 16
const NONCE_BYTES = 12
const LENGTH_BYTES = 4
/** Form, length of the plain bytes, count of objects; then for each object its kind and length. */
const RECORD_HEAD_BYTES = 9
const PART_BYTES = 5
/** Counts of records and of objects. */
const TABLE_HEAD_BYTES = 8
const RECORD_ROW_BYTES = 12
const OBJECT_ROW_BYTES = SHA256_BYTES + 1 + 12
/** None is zero: a row of zeros is one that was never written. */
export const KINDS = { content: 1, list: 2, node: 3 } as const
export type Kind = keyof typeof KINDS
const KIND_NAMES = new Map<number, Kind>(Object.entries(KINDS).map(([name, code]) => [code, name as Kind]))
const FORMS = { raw: 0, zst: 1 } as const
export type Form = keyof typeof FORMS

/** No record's plain bytes are more; contents beyond it are parted. */
export const RECORD_BYTES_MAX = 8 * 1024 * 1024
/** What a writer fills before it begins another one; a segment is at most this and a few records long. */
export const SEGMENT_BYTES = 8 * 1024 * 1024
/** Far more than fits into a segment of the smallest objects. */
const TABLE_BYTES_MAX = 64 * 1024 * 1024

/** Where a sealed record lies in its segment; its place in the table is its number. */
export interface RecordRow {
  readonly offset: number
  /** With its tag, without the four bytes before it that say so. */
  readonly length: number
  readonly plainBytes: number
}

/** Where an object lies in a record's plain bytes. */
export interface ObjectRow {
  readonly sha256: string
  readonly kind: Kind
  readonly record: number
  readonly start: number
  readonly bytes: number
}

export interface Table {
  readonly records: readonly RecordRow[]
  readonly objects: readonly ObjectRow[]
}

export interface Packed {
  readonly form: Form
  readonly bytes: Uint8Array
}

/** A part of a record: one object of this kind and length. */
export type Part = Pick<ObjectRow, 'kind' | 'bytes'>

export const segmentKey = (projectKey: Buffer, segmentId: Buffer): KeyObject =>
  createSecretKey(Buffer.from(hkdfSync('sha256', projectKey, segmentId, 'autovibe checkpoint segment', 32)))

export const headOf = (segmentId: Buffer): Buffer => Buffer.concat([MAGIC, segmentId])

/** One record as it lies in the segment, from its length on. */
export function sealRecord(key: KeyObject, number: number, parts: readonly Part[], packed: Packed, plainBytes: number): Buffer[] {
  const head = Buffer.allocUnsafe(RECORD_HEAD_BYTES + parts.length * PART_BYTES)
  head.writeUInt8(FORMS[packed.form], 0)
  head.writeUInt32LE(plainBytes, 1)
  head.writeUInt32LE(parts.length, 5)
  for (const [index, { kind, bytes }] of parts.entries()) {
    head.writeUInt8(KINDS[kind], RECORD_HEAD_BYTES + index * PART_BYTES)
    head.writeUInt32LE(bytes, RECORD_HEAD_BYTES + index * PART_BYTES + 1)
  }
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number))
  const sealed = [cipher.update(head), cipher.update(packed.bytes)]
  cipher.final()
  sealed.push(cipher.getAuthTag())
  const length = Buffer.allocUnsafe(LENGTH_BYTES)
  length.writeUInt32LE(head.length + packed.bytes.length + TAG_BYTES, 0)
  return [length, ...sealed]
}

/** Where a record's sealed bytes begin, given where its length does. */
export const sealedAt = (offset: number): number => offset + LENGTH_BYTES

export interface OpenedRecord extends Packed {
  readonly plainBytes: number
  readonly parts: readonly Part[]
}

/** Null when these are not the bytes that were sealed as this record of this segment. */
export function openRecord(key: KeyObject, number: number, sealed: Uint8Array): OpenedRecord | null {
  const plain = open(key, nonceOf(number), sealed)
  if (plain === null || plain.length < RECORD_HEAD_BYTES || plain.readUInt8(0) > FORMS.zst) return null
  const count = plain.readUInt32LE(5)
  const end = RECORD_HEAD_BYTES + count * PART_BYTES
  if (plain.length < end) return null
  const parts: Part[] = []
  for (let at = RECORD_HEAD_BYTES; at < end; at += PART_BYTES) {
    const kind = KIND_NAMES.get(plain.readUInt8(at))
    if (kind === undefined) return null
    parts.push({ kind, bytes: plain.readUInt32LE(at + 1) })
  }
  return { form: plain.readUInt8(0) === FORMS.zst ? 'zst' : 'raw', plainBytes: plain.readUInt32LE(1), parts, bytes: plain.subarray(end) }
}

/** Table and trailer: what makes a segment whole. */
export function sealTable(key: KeyObject, { records, objects }: Table): Buffer {
  const plain = Buffer.allocUnsafe(TABLE_HEAD_BYTES + records.length * RECORD_ROW_BYTES + objects.length * OBJECT_ROW_BYTES)
  plain.writeUInt32LE(records.length, 0)
  plain.writeUInt32LE(objects.length, 4)
  let at = TABLE_HEAD_BYTES
  for (const { offset, length, plainBytes } of records) at = writeNumbers(plain, at, [offset, length, plainBytes])
  for (const { sha256, kind, record, start, bytes } of objects) {
    at += plain.write(sha256, at, 'hex')
    at = plain.writeUInt8(KINDS[kind], at)
    at = writeNumbers(plain, at, [record, start, bytes])
  }
  const cipher = createCipheriv('aes-256-gcm', key, TABLE_NONCE)
  const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  const trailer = Buffer.alloc(TRAILER_BYTES)
  trailer.writeUInt32LE(sealed.length, 0)
  END_MAGIC.copy(trailer, 8)
  return Buffer.concat([sealed, trailer])
}

/** How many bytes before the trailer the table takes; null when this is no trailer. */
export function tableBytesOf(trailer: Uint8Array): number | null {
  const bytes = Buffer.from(trailer.buffer, trailer.byteOffset, trailer.byteLength)
  if (bytes.length !== TRAILER_BYTES || !bytes.subarray(8).equals(END_MAGIC) || bytes.readUInt32LE(4) !== 0) return null
  const length = bytes.readUInt32LE(0)
  return length >= TABLE_HEAD_BYTES + TAG_BYTES && length <= TABLE_BYTES_MAX ? length : null
}

/** What a sealed table tells; null when it is not the one that was sealed for this segment. */
export function openTable(key: KeyObject, sealed: Uint8Array): Table | null {
  const plain = open(key, TABLE_NONCE, sealed)
  if (plain === null || plain.length < TABLE_HEAD_BYTES) return null
  const [recordCount, objectCount] = [plain.readUInt32LE(0), plain.readUInt32LE(4)]
  if (plain.length !== TABLE_HEAD_BYTES + recordCount * RECORD_ROW_BYTES + objectCount * OBJECT_ROW_BYTES) return null
  let at = TABLE_HEAD_BYTES
  const number = (): number => {
    at += 4
    return plain.readUInt32LE(at - 4)
  }
  const records = Array.from({ length: recordCount }, (): RecordRow => ({ offset: number(), length: number(), plainBytes: number() }))
  const objects: ObjectRow[] = []
  for (let index = 0; index < objectCount; index++) {
    const sha256 = plain.toString('hex', at, at + SHA256_BYTES)
    const kind = KIND_NAMES.get(plain.readUInt8(at + SHA256_BYTES))
    at += SHA256_BYTES + 1
    const row = { sha256, record: number(), start: number(), bytes: number() }
    if (kind === undefined || row.record >= recordCount) return null
    objects.push({ ...row, kind })
  }
  return { records, objects }
}

/** The records of a segment without its table, as far as they are whole: what is left of one that was cut off. */
export function* walkRecords(key: KeyObject, segment: Buffer): Generator<OpenedRecord & RecordRow, void> {
  let at = HEAD_BYTES
  for (let number = 0; at + LENGTH_BYTES <= segment.length; number++) {
    const length = segment.readUInt32LE(at)
    const offset = at + LENGTH_BYTES
    const record = offset + length > segment.length ? null : openRecord(key, number, segment.subarray(offset, offset + length))
    if (record === null) return
    yield { ...record, offset, length }
    at = offset + length
  }
}

/** No record can have it: they are counted from zero. */
const TABLE_NONCE = Buffer.alloc(NONCE_BYTES, 0xff)

function nonceOf(number: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUInt32LE(number, 0)
  return nonce
}

/** Answers where they end. */
function writeNumbers(to: Buffer, at: number, numbers: readonly number[]): number {
  let end = at
  for (const number of numbers) end = to.writeUInt32LE(number, end)
  return end
}

function open(key: KeyObject, nonce: Buffer, sealed: Uint8Array): Buffer | null {
  if (sealed.length < TAG_BYTES) return null
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAuthTag(sealed.subarray(end))
  try {
    const plain = decipher.update(sealed.subarray(0, end))
    decipher.final()
    return plain
  } catch {
    // The tag does not fit: other bytes, another place or another key. Whoever asked says which file that concerns.
    return null
  }
}
