/** Collects new objects into records and these into segments, and puts each segment into the backend when it is full; an object counts as stored only when its segment was put. */
import { type KeyObject, randomBytes } from 'node:crypto'
import type { Backend } from '../backends/backend.ts'
import { pack } from '../compression.ts'
import {
  headOf,
  type Kind,
  type ObjectRow,
  type RecordRow,
  SEGMENT_BYTES,
  SEGMENT_ID_BYTES,
  sealedAt,
  sealRecord,
  sealTable,
  segmentKey,
  type Table,
} from './format.ts'
import { segmentName } from './names.ts'
import { Pieces, Pool } from './pieces.ts'

export interface WrittenSegment extends Table {
  /** 32 hex digits. */
  readonly id: string
  readonly bytes: number
}

/**
 * Small objects are compressed together until they are so many bytes: alone they would take zstd longer, and shrink less; whoever wants one reads all of them. Contents are mostly wanted
 * together. The nodes of a manifest that a change touches lie anywhere, and in records of this size shrink no worse than in larger ones.
 */
const TOGETHER_BYTES: Readonly<Record<Kind, number>> = { content: 128 * 1024, list: 128 * 1024, node: 16 * 1024 }
/** A larger object has a record to itself. */
const SMALL_BYTES = 64 * 1024
/** So that a table, and a look at all records, stays small, however little each of them holds. */
const OBJECTS_MAX = 50_000
/** Records that are being compressed at once: libuv has four threads. */
const PACKING = 4
/** Segments that are on their way into the backend while the next one fills: each is 8 MiB of memory. */
const PUTTING = 1

/** A segment grows in pieces of this size. */
const PIECE_BYTES = 1024 * 1024
const PIECES_MAX = (PUTTING + 1) * (SEGMENT_BYTES / PIECE_BYTES)
/** One before it is as long as it should be, and the object that makes it longer. */
const BLOCK_BYTES_MAX = Math.max(...Object.values(TOGETHER_BYTES)) + SMALL_BYTES

interface Block {
  readonly objects: Omit<ObjectRow, 'record'>[]
  /** Of the pool; its beginning is in use. */
  readonly buffer: Buffer
  bytes: number
}

interface Open {
  readonly id: Buffer
  readonly key: KeyObject
  readonly sealed: Pieces
  readonly records: RecordRow[]
  readonly objects: ObjectRow[]
}

export class SegmentWriter {
  readonly #backend: Backend
  readonly #folder: string
  readonly #projectKey: Buffer
  readonly #writerId: Buffer
  readonly #added: (segment: WrittenSegment) => void
  readonly #pending = new Set<string>()
  /** Contents and nodes apart: whoever reads the one seldom wants the other. */
  readonly #blocks = new Map<Kind, Block>()
  readonly #pieces = new Pool(PIECE_BYTES, PIECES_MAX)
  readonly #buffers = new Pool(BLOCK_BYTES_MAX, PACKING)
  readonly #packing = new Set<Promise<void>>()
  readonly #putting: Promise<void>[] = []
  #open: Open | null = null
  /** Records follow one another as their objects came, whichever of them is compressed first. */
  #appended: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | null = null
  /** Of all segments that were put. */
  #bytes = 0

  /** With `writerId` each of its segments begins; `added` is told of each when it can be read by everyone. */
  constructor(backend: Backend, folder: string, projectKey: Buffer, writerId: Buffer, added: (segment: WrittenSegment) => void) {
    this.#backend = backend
    this.#folder = folder
    this.#projectKey = projectKey
    this.#writerId = writerId
    this.#added = added
  }

  has(kind: Kind, sha256: string): boolean {
    return this.#pending.has(`${kind}/${sha256}`)
  }

  /** Takes an object that neither the store nor this writer has; its bytes must not change any more. Resolves when there is room for the next one. */
  async add(kind: Kind, sha256: string, bytes: Uint8Array): Promise<void> {
    this.#pending.add(`${kind}/${sha256}`)
    if (bytes.length > SMALL_BYTES) this.#pack([{ sha256, kind, start: 0, bytes: bytes.length }], bytes, () => undefined)
    else {
      const block = this.#blocks.get(kind) ?? { objects: [], buffer: this.#buffers.take(), bytes: 0 }
      this.#blocks.set(kind, block)
      block.objects.push({ sha256, kind, start: block.bytes, bytes: bytes.length })
      // Copied: a view would keep all that lies around it in memory for as long as the block waits.
      block.buffer.set(bytes, block.bytes)
      block.bytes += bytes.length
      if (block.bytes >= TOGETHER_BYTES[kind]) this.#flush(kind)
    }
    while (this.#packing.size >= PACKING) await Promise.race(this.#packing)
    while (this.#putting.length > PUTTING) await this.#putting.shift()
    this.#assertWhole()
  }

  /** Everything that was added is durable; answers by how many bytes the store grew. */
  async finish(): Promise<number> {
    for (const kind of [...this.#blocks.keys()]) this.#flush(kind)
    while (this.#packing.size > 0) await Promise.all(this.#packing)
    if (this.#open !== null) this.#end(this.#open)
    await Promise.all(this.#putting.splice(0))
    this.#assertWhole()
    return this.#bytes
  }

  #flush(kind: Kind): void {
    const block = this.#blocks.get(kind)
    this.#blocks.delete(kind)
    if (block !== undefined) this.#pack(block.objects, block.buffer.subarray(0, block.bytes), () => this.#buffers.giveBack(block.buffer))
  }

  /** `release`: nobody looks at the plain bytes any more. */
  #pack(objects: Block['objects'], plain: Uint8Array, release: () => void): void {
    const packing = Promise.all([pack(plain), this.#appended])
      .then(([packed]) => {
        this.#append(objects, plain.length, packed)
        release()
      })
      .catch((error: unknown) => this.#failed(error))
      .finally(() => this.#packing.delete(packing))
    this.#appended = packing
    this.#packing.add(packing)
  }

  #append(objects: Block['objects'], plainBytes: number, packed: Awaited<ReturnType<typeof pack>>): void {
    this.#open ??= this.#begin()
    const open = this.#open
    const number = open.records.length
    const offset = sealedAt(open.sealed.bytes)
    for (const part of sealRecord(open.key, number, objects, packed, plainBytes)) open.sealed.add(part)
    open.records.push({ offset, length: open.sealed.bytes - offset, plainBytes })
    for (const object of objects) open.objects.push({ ...object, record: number })
    if (open.sealed.bytes >= SEGMENT_BYTES || open.objects.length >= OBJECTS_MAX) this.#end(open)
  }

  #begin(): Open {
    const id = Buffer.concat([this.#writerId, randomBytes(SEGMENT_ID_BYTES - this.#writerId.length)])
    const sealed = new Pieces(this.#pieces)
    sealed.add(headOf(id))
    return { id, key: segmentKey(this.#projectKey, id), sealed, records: [], objects: [] }
  }

  #end(open: Open): void {
    this.#open = null
    this.#putting.push(this.#put(open).catch((error: unknown) => this.#failed(error)))
  }

  async #put({ id, key, sealed, records, objects }: Open): Promise<void> {
    sealed.add(sealTable(key, { records, objects }))
    const { bytes } = sealed
    const name = id.toString('hex')
    await this.#backend.put(segmentName(this.#folder, name), sealed.parts())
    // Only now: after a failure, something of it may still be on its way.
    sealed.giveBack()
    this.#bytes += bytes
    this.#added({ id: name, records, objects, bytes })
  }

  /** Whoever adds the next object, or finishes, hears of it. */
  #failed(error: unknown): void {
    this.#failure ??= { error }
  }

  #assertWhole(): void {
    if (this.#failure !== null) throw this.#failure.error
  }
}
