/** Where each object of a project lies, kept in memory in about 70 bytes an object: a million of them must fit beside everything else. */
import { KINDS, type Kind, type ObjectRow, SHA256_BYTES } from './format.ts'

export interface Place {
  /** The number under which the segment was added. */
  readonly segment: number
  readonly record: number
  readonly start: number
  readonly bytes: number
}

const SLOTS_AT_FIRST = 1024
/** Beyond this share of used slots, looking gets long. */
const FULL = 0.7
const FIELDS = 4
const KIND_BASE = 4

export class ObjectIndex {
  #keys = Buffer.alloc(SLOTS_AT_FIRST * SHA256_BYTES)
  /** Segment plus one (0: an empty slot), record and kind, start, bytes. */
  #places = new Uint32Array(SLOTS_AT_FIRST * FIELDS)
  #count = 0
  #contentBytes = 0

  /** Plain bytes of all contents, each counted once. */
  get contentBytes(): number {
    return this.#contentBytes
  }

  get size(): number {
    return this.#count
  }

  /** The first place that an object was added with stays. */
  add(segment: number, { sha256, kind, record, start, bytes }: ObjectRow): void {
    if (this.#count >= this.#slots * FULL) this.#grow()
    const key = Buffer.from(sha256, 'hex')
    const slot = this.#slotOf(key, kind)
    if (this.#places[slot * FIELDS] !== 0) return
    key.copy(this.#keys, slot * SHA256_BYTES)
    this.#places.set([segment + 1, record * KIND_BASE + KINDS[kind], start, bytes], slot * FIELDS)
    this.#count++
    if (kind === 'content') this.#contentBytes += bytes
  }

  /** The object is to be read from another place than before. */
  replace(segment: number, row: ObjectRow): void {
    const slot = this.#slotOf(Buffer.from(row.sha256, 'hex'), row.kind)
    if (this.#places[slot * FIELDS] === 0) this.add(segment, row)
    else this.#places.set([segment + 1, row.record * KIND_BASE + KINDS[row.kind], row.start, row.bytes], slot * FIELDS)
  }

  get(kind: Kind, sha256: string): Place | null {
    const at = this.#slotOf(Buffer.from(sha256, 'hex'), kind) * FIELDS
    const [segment = 0, record = 0, start = 0, bytes = 0] = this.#places.subarray(at, at + FIELDS)
    return segment === 0 ? null : { segment: segment - 1, record: Math.floor(record / KIND_BASE), start, bytes }
  }

  get #slots(): number {
    return this.#places.length / FIELDS
  }

  /** The slot that has it, or the empty one where it belongs. Hashes are spread evenly by themselves. */
  #slotOf(key: Buffer, kind: Kind): number {
    const mask = this.#slots - 1
    for (let slot = key.readUInt32LE(0) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * FIELDS
      if (this.#places[at] === 0) return slot
      const isKind = (this.#places[at + 1] ?? 0) % KIND_BASE === KINDS[kind]
      if (isKind && key.compare(this.#keys, slot * SHA256_BYTES, (slot + 1) * SHA256_BYTES) === 0) return slot
    }
  }

  #grow(): void {
    const [keys, places, slots] = [this.#keys, this.#places, this.#slots]
    this.#keys = Buffer.alloc(keys.length * 2)
    this.#places = new Uint32Array(places.length * 2)
    const mask = slots * 2 - 1
    for (let old = 0; old < slots; old++) {
      if (places[old * FIELDS] === 0) continue
      let slot = keys.readUInt32LE(old * SHA256_BYTES) & mask
      while (this.#places[slot * FIELDS] !== 0) slot = (slot + 1) & mask
      keys.copy(this.#keys, slot * SHA256_BYTES, old * SHA256_BYTES, (old + 1) * SHA256_BYTES)
      this.#places.set(places.subarray(old * FIELDS, (old + 1) * FIELDS), slot * FIELDS)
    }
  }
}
