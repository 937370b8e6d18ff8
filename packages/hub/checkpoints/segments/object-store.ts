/** The objects of one project: found by SHA-256 over all its segments, read back checked, added by a writer. */
import { AutovibeError } from '@autovibe/contract'
import type { Backend } from '../backends/backend.ts'
import { corrupt, isUnread } from '../store-errors.ts'
import { Blocks } from './blocks.ts'
import { Catalogue, type Segment } from './catalogue.ts'
import { type Kind, segmentKey, type Table } from './format.ts'
import { segmentName, segmentsFolder } from './names.ts'
import type { Place } from './object-index.ts'
import { partOrNull, plainOf } from './parts.ts'
import { readTable } from './read-segment.ts'
import { SegmentWriter, type WrittenSegment } from './segment-writer.ts'
import { spansOf } from './spans.ts'
import { Windows } from './windows.ts'

/** Tables of segments: a place far away takes its time for each. One that is damaged is read whole, so these may be 16 MiB each (earlier writers filled them as far). */
const LOOKS_AT_ONCE = 8

export interface Wanted {
  readonly kind: Kind
  readonly sha256: string
}

/** `bytes` null: missing or damaged, or, with `unread`, on a disk that did not give them. */
export type Given = Wanted & ({ readonly bytes: Buffer; readonly unread: null } | { readonly bytes: null; readonly unread: AutovibeError | null })

/** What the disk did not give while one object was looked for: where no sound copy is found, that is no damage. */
interface Search {
  unread: AutovibeError | null
}

export class ObjectStore {
  readonly #backend: Backend
  readonly #folder: string
  readonly #key: Buffer
  readonly #blocks = new Blocks()
  readonly #windows = new Windows()
  #catalogue = new Catalogue()
  /** What writers have put while everything was read anew. */
  #meanwhile: { readonly segment: Segment; readonly table: Table }[] = []
  #isRefreshing = false
  #refreshing: Promise<void> = Promise.resolve()
  #nextRefresh: Promise<void> | null = null
  readonly #left = new Set<string>()
  /** Objects of which no sound copy was found: whoever brings one again, stores it again. */
  readonly #lost = new Set<string>()
  /** Segments of which the disk did not give something: what lies in them may be sound, but whoever brings it again does well to store it again. */
  readonly #spoiled = new Set<string>()

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
    return this.#catalogue.index.size
  }

  /** Plain bytes of all contents, each counted once. */
  get contentBytes(): number {
    return this.#catalogue.index.contentBytes
  }

  get segments(): readonly { readonly id: string; readonly bytes: number; readonly damaged: boolean }[] {
    return this.#catalogue.segments
  }

  /** Takes note of segments that others have put; when some are gone, everything is read anew. One after the other; one that has not begun yet serves all who ask until then. */
  refresh(): Promise<void> {
    this.#nextRefresh ??= this.#refreshing.then(() => {
      this.#nextRefresh = null
      const refreshing = this.#refresh()
      this.#refreshing = refreshing.catch(() => undefined)
      return refreshing
    })
    return this.#nextRefresh
  }

  async #refresh(): Promise<void> {
    // What is put while the list is made need not be in it, and is not gone for that.
    const before = [...this.#catalogue.segments]
    this.#isRefreshing = true
    try {
      await this.#lookAtAll(before)
    } finally {
      this.#isRefreshing = false
      this.#meanwhile = []
    }
  }

  async #lookAtAll(before: readonly Segment[]): Promise<void> {
    const found = new Map<string, number>()
    for await (const { name, bytes } of this.#backend.list(segmentsFolder(this.#folder))) found.set(name.slice(name.lastIndexOf('/') + 1), bytes)
    const isAnyGone = before.some(({ id }) => !found.has(id))
    const catalogue = isAnyGone ? new Catalogue() : this.#catalogue
    const unknown = [...found].filter(([id]) => !catalogue.has(id) && /^[0-9a-f]{32}$/.test(id))
    for (let from = 0; from < unknown.length; from += LOOKS_AT_ONCE)
      await Promise.all(unknown.slice(from, from + LOOKS_AT_ONCE).map(([id, bytes]) => this.#look(catalogue, id, bytes)))
    if (!isAnyGone) return
    for (const { segment, table } of this.#meanwhile) catalogue.add(segment, table, this.#wasLost)
    this.#catalogue = catalogue
    this.forgetWhatWasRead()
    for (const ids of [this.#left, this.#spoiled]) for (const id of ids) if (!found.has(id)) ids.delete(id)
  }

  async #look(catalogue: Catalogue, id: string, bytes: number): Promise<void> {
    const key = segmentKey(this.#key, Buffer.from(id, 'hex'))
    const table = await readTable(this.#backend, segmentName(this.#folder, id), Buffer.from(id, 'hex'), key, bytes)
    // It went away between the list and the look.
    if (table !== null) catalogue.add({ id, key, bytes, records: table.records, damaged: table.damaged }, table, this.#wasLost)
  }

  readonly #wasLost = (name: string, lies: () => string | undefined): boolean =>
    (this.#lost.size > 0 && this.#lost.delete(name)) || (this.#spoiled.size > 0 && this.#spoiled.has(lies() ?? ''))

  /** What is read from now on is read from the place itself, not from memory. */
  forgetWhatWasRead(): void {
    this.#blocks.clear()
    this.#windows.clear()
  }

  /** From now on nobody relies on what lies in this segment, which is about to be deleted. */
  leave(segmentId: string): void {
    this.#left.add(segmentId)
  }

  /** Whether it lies in a segment that is not among these. */
  has(kind: Kind, sha256: string, except?: ReadonlySet<string>): boolean {
    const { index, segments } = this.#catalogue
    const place = index.get(kind, sha256)
    if (this.#lost.size > 0 && this.#lost.has(`${kind}/${sha256}`)) return false
    const segmentId = place === null ? undefined : segments[place.segment]?.id
    return segmentId !== undefined && !this.#left.has(segmentId) && !except?.has(segmentId)
  }

  /** Whether one who brings it needs not store it: it lies in a segment that is not among these, and that the disk gives. */
  keeps(kind: Kind, sha256: string, condemned: ReadonlySet<string>): boolean {
    return this.has(kind, sha256, condemned) && (this.#spoiled.size === 0 || this.has(kind, sha256, this.#spoiled))
  }

  /** The table of each segment, read anew; of those that are gone meanwhile, none. */
  async *tables(): AsyncGenerator<Table & { readonly id: string; readonly damaged: boolean }, void> {
    for (const { id, key, bytes } of [...this.#catalogue.segments]) {
      const table = await readTable(this.#backend, segmentName(this.#folder, id), Buffer.from(id, 'hex'), key, bytes)
      if (table !== null) yield { id, ...table }
    }
  }

  /** Where the sealed record that holds it lies, for whoever looks at the place itself. */
  locate(kind: Kind, sha256: string): { readonly segmentId: string; readonly offset: number; readonly length: number } | null {
    const { index, segments } = this.#catalogue
    const place = index.get(kind, sha256)
    const segment = place && segments[place.segment]
    const record = place && segment?.records[place.record]
    return segment && record ? { segmentId: segment.id, offset: record.offset, length: record.length } : null
  }

  /** For one who has said that it begins to write (intents.ts), under this id. */
  writer(writerId: Buffer): SegmentWriter {
    return new SegmentWriter(this.#backend, this.#folder, this.#key, writerId, (written: WrittenSegment) => {
      const { id, bytes, records } = written
      const segment = { id, key: segmentKey(this.#key, Buffer.from(id, 'hex')), bytes, records, damaged: false }
      this.#catalogue.add(segment, written, this.#wasLost)
      if (this.#isRefreshing) this.#meanwhile.push({ segment, table: written })
    })
  }

  /** The plain bytes, from another copy where one is damaged. When there is none that is sound: what the disk said, if it did not give one of them, and otherwise `checkpoint.corrupt`. */
  async read(kind: Kind, sha256: string): Promise<Buffer> {
    const search: Search = { unread: null }
    let part = await this.#tryToRead(kind, sha256, search)
    if (part === null) {
      // Another Hub may have stored it, or moved it elsewhere; and the disk may give now what it did not.
      search.unread = null
      await this.refresh()
      part = (await this.#tryToRead(kind, sha256, search)) ?? (await this.#readElsewhere(kind, sha256, search))
    }
    if (part !== null) return part
    if (search.unread !== null) throw search.unread
    this.#lost.add(`${kind}/${sha256}`)
    throw corrupt(`The ${kind} ${sha256} is missing from the store, or is damaged.`)
  }

  /** Gives each of them once, in the order in which they lie. Far faster than one by one. */
  async *readMany(wanted: Iterable<Wanted>, signal: AbortSignal): AsyncGenerator<Given, void> {
    const placed: (Wanted & { readonly place: Place })[] = []
    const missing: Wanted[] = []
    // All places are of one catalogue, whatever is read anew meanwhile.
    const { index, segments } = this.#catalogue
    for (const { kind, sha256 } of wanted) {
      const place = index.get(kind, sha256)
      if (place === null) missing.push({ kind, sha256 })
      else placed.push({ kind, sha256, place })
    }
    for (const want of missing) yield await this.#given(want)
    placed.sort((a, b) => a.place.segment - b.place.segment || a.place.record - b.place.record || a.place.start - b.place.start)
    for (const span of spansOf(placed, ({ place }) => segments[place.segment]?.records[place.record])) {
      signal.throwIfAborted()
      const records = new Set(span.items.map(({ place }) => place.record))
      const segment = segments[span.items[0]?.place.segment ?? 0]
      // Where the disk does not give all of it, each is read by itself.
      const blocks =
        (await this.#ifRead({ unread: null }, segment?.id, () => this.#readSpan(segment, span.offset, span.length, records))) ?? new Map<number, Buffer>()
      for (const { kind, sha256, place } of span.items) {
        const block = blocks.get(place.record)
        const bytes = block && partOrNull(kind, sha256, place, block)
        yield bytes ? { kind, sha256, bytes, unread: null } : await this.#given({ kind, sha256 })
      }
    }
  }

  async #tryToRead(kind: Kind, sha256: string, search: Search): Promise<Buffer | null> {
    const { index, segments } = this.#catalogue
    const place = index.get(kind, sha256)
    const segment = place && segments[place.segment]
    const block =
      segment &&
      (await this.#ifRead(search, segment.id, () => this.#blocks.get(`${segment.id}/${place.record}`, () => this.#readBlock(kind, segment, place.record))))
    return place && block ? partOrNull(kind, sha256, place, block) : null
  }

  /** Looks for it in every segment; the index knows only one place of each. */
  async #readElsewhere(kind: Kind, sha256: string, search: Search): Promise<Buffer | null> {
    if (this.#lost.has(`${kind}/${sha256}`)) return null
    const { index, segments } = this.#catalogue
    for (const [number, segment] of [...segments].entries()) {
      const { id, key, bytes } = segment
      const table = await this.#ifRead(search, id, () => readTable(this.#backend, segmentName(this.#folder, id), Buffer.from(id, 'hex'), key, bytes))
      for (const row of table?.objects ?? []) {
        if (row.sha256 !== sha256 || row.kind !== kind) continue
        const block = await this.#ifRead(search, id, () => this.#readBlock(kind, segment, row.record))
        const part = block && partOrNull(kind, sha256, row, block)
        if (part === null) continue
        index.replace(number, row)
        return part
      }
    }
    return null
  }

  /** Null for what the disk does not give, which the search takes note of. */
  async #ifRead<T>(search: Search, segmentId: string | undefined, read: () => Promise<T>): Promise<T | null> {
    try {
      return await read()
    } catch (error) {
      if (!isUnread(error)) throw error
      search.unread = error
      if (segmentId !== undefined) this.#spoiled.add(segmentId)
      return null
    }
  }

  async #given(want: Wanted): Promise<Given> {
    try {
      return { ...want, bytes: await this.read(want.kind, want.sha256), unread: null }
    } catch (error) {
      if (error instanceof AutovibeError && error.code === 'checkpoint.corrupt') return { ...want, bytes: null, unread: null }
      if (isUnread(error)) return { ...want, bytes: null, unread: error }
      throw error
    }
  }

  async #readBlock(kind: Kind, segment: Segment, record: number): Promise<Buffer | null> {
    const row = segment.records[record]
    if (row === undefined) return null
    const read = (offset: number, length: number) => this.#backend.get(segmentName(this.#folder, segment.id), { offset, length })
    const opened = async (sealed: Buffer | null) => (sealed?.length === row.length ? await plainOf(segment.key, record, row, sealed) : null)
    // Of a content that is asked for alone, nobody wants the neighbours; and what is asked for is read when it is asked for.
    const nearby = kind === 'node' ? await opened(await this.#windows.get(segment.id, row.offset, row.length, read)) : null
    if (nearby !== null) return nearby
    // What is kept may have been misread, or be better by now.
    this.#windows.forget(segment.id, row.offset)
    return await opened(await read(row.offset, row.length))
  }

  /** The plain bytes of these records, which lie within the span; those that are damaged are left out. */
  async #readSpan(segment: Segment | undefined, offset: number, length: number, records: ReadonlySet<number>): Promise<Map<number, Buffer>> {
    const sealed = segment === undefined ? null : await this.#backend.get(segmentName(this.#folder, segment.id), { offset, length })
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
}
