/** The objects of one project: found by SHA-256 over all its segments, read back checked, added by a writer. */
import { createHash, type KeyObject } from 'node:crypto'
import { AutovibeError } from '@autovibe/contract'
import type { Backend } from '../backends/backend.ts'
import { unpack } from '../compression.ts'
import { corrupt, errnoOf, isDamage } from '../store-errors.ts'
import { Blocks } from './blocks.ts'
import { type Kind, openRecord, RECORD_BYTES_MAX, type RecordRow, segmentKey, type Table } from './format.ts'
import { segmentName, segmentsFolder } from './names.ts'
import { ObjectIndex, type Place } from './object-index.ts'
import { readTable } from './read-segment.ts'
import { SegmentWriter, type WrittenSegment } from './segment-writer.ts'
import { spansOf } from './spans.ts'

export interface Wanted {
  readonly kind: Kind
  readonly sha256: string
}

interface Segment {
  readonly id: string
  readonly key: KeyObject
  readonly bytes: number
  readonly records: readonly RecordRow[]
  /** Its table could not be read, and so it holds only what could be saved. */
  readonly damaged: boolean
}

export class ObjectStore {
  readonly #backend: Backend
  readonly #folder: string
  readonly #key: Buffer
  readonly #blocks = new Blocks()
  #segments: Segment[] = []
  #known = new Set<string>()
  #index = new ObjectIndex()
  /** Objects of which no sound copy was found: whoever brings one again, stores it again. */
  readonly #lost = new Set<string>()

  private constructor(backend: Backend, folder: string, key: Buffer) {
    this.#backend = backend
    this.#folder = folder
    this.#key = key
  }

  /** Reads the tables of all segments of the folder. */
  static async open(backend: Backend, folder: string, key: Buffer): Promise<ObjectStore> {
    const store = new ObjectStore(backend, folder, key)
    await store.refresh()
    return store
  }

  get objects(): number {
    return this.#index.size
  }

  get segments(): readonly { readonly id: string; readonly bytes: number; readonly damaged: boolean }[] {
    return this.#segments
  }

  /** Takes note of segments that others have put; when some are gone, everything is read anew. */
  async refresh(): Promise<void> {
    const found = new Map<string, number>()
    for await (const { name, bytes } of this.#backend.list(segmentsFolder(this.#folder))) found.set(name.slice(name.lastIndexOf('/') + 1), bytes)
    if (this.#segments.some(({ id }) => !found.has(id))) {
      this.#segments = []
      this.#known = new Set()
      this.#index = new ObjectIndex()
      this.#blocks.clear()
    }
    for (const [id, bytes] of found) {
      if (this.#known.has(id) || !/^[0-9a-f]{32}$/.test(id)) continue
      const key = segmentKey(this.#key, Buffer.from(id, 'hex'))
      const table = await readTable(this.#backend, segmentName(this.#folder, id), Buffer.from(id, 'hex'), key, bytes)
      // It went away between the list and the look.
      if (table !== null) this.#add({ id, key, bytes, records: table.records, damaged: table.damaged }, table)
    }
  }

  /** What is read from now on is read from the place itself, not from memory. */
  forgetWhatWasRead(): void {
    this.#blocks.clear()
  }

  /** Whether it lies in a segment that is not among these. */
  has(kind: Kind, sha256: string, except?: ReadonlySet<string>): boolean {
    const place = this.#index.get(kind, sha256)
    if (this.#lost.size > 0 && this.#lost.has(`${kind}/${sha256}`)) return false
    return place !== null && !(except !== undefined && except.size > 0 && except.has(this.#segments[place.segment]?.id ?? ''))
  }

  /** The table of each segment, read anew; of those that are gone meanwhile, none. */
  async *tables(): AsyncGenerator<Table & { readonly id: string; readonly damaged: boolean }, void> {
    for (const { id, key, bytes } of [...this.#segments]) {
      const table = await readTable(this.#backend, segmentName(this.#folder, id), Buffer.from(id, 'hex'), key, bytes)
      if (table !== null) yield { id, ...table }
    }
  }

  /** Where the sealed record that holds it lies, for whoever looks at the place itself. */
  locate(kind: Kind, sha256: string): { readonly segmentId: string; readonly offset: number; readonly length: number } | null {
    const place = this.#index.get(kind, sha256)
    const segment = place && this.#segments[place.segment]
    const record = place && segment?.records[place.record]
    return segment && record ? { segmentId: segment.id, offset: record.offset, length: record.length } : null
  }

  /** For one who has said that it begins to write (intents.ts), under this id. */
  writer(writerId: Buffer): SegmentWriter {
    return new SegmentWriter(this.#backend, this.#folder, this.#key, writerId, (written: WrittenSegment) => {
      const { id, bytes, records } = written
      this.#add({ id, key: segmentKey(this.#key, Buffer.from(id, 'hex')), bytes, records, damaged: false }, written)
    })
  }

  /** The plain bytes, from another copy where one is damaged. `checkpoint.corrupt` when there is none that is sound. */
  async read(kind: Kind, sha256: string): Promise<Buffer> {
    const found = await this.#tryToRead(kind, sha256)
    if (found !== null) return found
    // Another Hub may have stored it, or moved it elsewhere.
    await this.refresh()
    const part = (await this.#tryToRead(kind, sha256)) ?? (await this.#readElsewhere(kind, sha256))
    if (part !== null) return part
    this.#lost.add(`${kind}/${sha256}`)
    throw corrupt(`The ${kind} ${sha256} is missing from the store, or is damaged.`)
  }

  /** Gives each of them once, in the order in which they lie; `null` for one that is missing or damaged. Far faster than one by one. */
  async *readMany(wanted: Iterable<Wanted>, signal: AbortSignal): AsyncGenerator<Wanted & { readonly bytes: Buffer | null }, void> {
    const placed: (Wanted & { readonly place: Place })[] = []
    for (const want of wanted) {
      const place = this.#index.get(want.kind, want.sha256)
      if (place === null) yield { ...want, bytes: await this.#orNull(want) }
      else placed.push({ ...want, place })
    }
    placed.sort((a, b) => a.place.segment - b.place.segment || a.place.record - b.place.record || a.place.start - b.place.start)
    for (const span of spansOf(placed, ({ place }) => this.#segments[place.segment]?.records[place.record])) {
      signal.throwIfAborted()
      const blocks = await this.#readSpan(span.items[0]?.place.segment ?? 0, span.offset, span.length, new Set(span.items.map(({ place }) => place.record)))
      for (const { kind, sha256, place } of span.items) {
        const block = blocks.get(place.record) ?? null
        // When segments have gone meanwhile, the numbers of the others have changed: then the block is another one.
        const part = block === null ? null : partOrNull(kind, sha256, place, block)
        yield { kind, sha256, bytes: part ?? (await this.#orNull({ kind, sha256 })) }
      }
    }
  }

  async #tryToRead(kind: Kind, sha256: string): Promise<Buffer | null> {
    const place = this.#index.get(kind, sha256)
    const block = place && (await this.#blocks.get(`${place.segment}/${place.record}`, () => this.#readBlock(place.segment, place.record)))
    return place && block ? partOrNull(kind, sha256, place, block) : null
  }

  /** Looks for it in every segment; the index knows only one place of each. */
  async #readElsewhere(kind: Kind, sha256: string): Promise<Buffer | null> {
    for (const [number, { id, key, bytes }] of this.#segments.entries()) {
      const table = this.#lost.has(`${kind}/${sha256}`)
        ? null
        : await readTable(this.#backend, segmentName(this.#folder, id), Buffer.from(id, 'hex'), key, bytes)
      for (const row of table?.objects ?? []) {
        if (row.sha256 !== sha256 || row.kind !== kind) continue
        const block = await this.#readBlock(number, row.record)
        const part = block && partOrNull(kind, sha256, { segment: number, ...row }, block)
        if (part === null) continue
        this.#index.replace(number, row)
        return part
      }
    }
    return null
  }

  #orNull(want: Wanted): Promise<Buffer | null> {
    return this.read(want.kind, want.sha256).catch((error: unknown) => {
      if (error instanceof AutovibeError && error.code === 'checkpoint.corrupt') return null
      throw error
    })
  }

  async #readBlock(segment: number, record: number): Promise<Buffer | null> {
    const row = this.#segments[segment]?.records[record]
    return row === undefined ? null : ((await this.#readSpan(segment, row.offset, row.length, new Set([record]))).get(record) ?? null)
  }

  /** The plain bytes of these records, which lie within the span; those that are damaged are left out. */
  async #readSpan(number: number, offset: number, length: number, records: ReadonlySet<number>): Promise<Map<number, Buffer>> {
    const segment = this.#segments[number]
    const sealed = segment === undefined ? null : await this.#sealed(segment.id, offset, length)
    const plain = new Map<number, Buffer>()
    if (segment === undefined || sealed === null) return plain
    await Promise.all(
      [...records].map(async (record) => {
        const row = segment.records[record]
        const at = (row?.offset ?? 0) - offset
        const block =
          row === undefined || sealed.length < at + row.length ? null : await plainOf(segment.key, record, row, sealed.subarray(at, at + row.length))
        if (block !== null) plain.set(record, block)
      }),
    )
    return plain
  }

  /** Null for what is not there, or cannot be read from the disk any more. */
  async #sealed(segmentId: string, offset: number, length: number): Promise<Buffer | null> {
    try {
      return await this.#backend.get(segmentName(this.#folder, segmentId), { offset, length })
    } catch (error) {
      if (error instanceof AutovibeError && errnoOf(error.cause) === 'EIO') return null
      throw error
    }
  }

  #add(segment: Segment, { objects }: Table): void {
    const number = this.#segments.push(segment) - 1
    this.#known.add(segment.id)
    for (const row of objects) {
      if (this.#lost.size > 0 && this.#lost.delete(`${row.kind}/${row.sha256}`)) this.#index.replace(number, row)
      else this.#index.add(number, row)
    }
  }
}

/** Null when the record has other bytes than were written. */
async function plainOf(key: KeyObject, number: number, row: RecordRow, sealed: Uint8Array): Promise<Buffer | null> {
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

function partOrNull(kind: Kind, sha256: string, { start, bytes }: Place, block: Buffer): Buffer | null {
  const part = block.subarray(start, start + bytes)
  // A list is named by the content that it makes up, and is checked when that is read.
  return part.length === bytes && (kind === 'list' || sha256Of(part) === sha256) ? part : null
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
