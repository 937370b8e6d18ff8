/** Reads a guest's stream of changes: every record is checked, and a file's bytes are passed on as they come. */
import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import { type CheckpointId, GUEST_LIMITS, GuestChange, type ManifestEntry } from '@autovibe/contract'
import { entryProblem, MANIFEST_LIMITS, pathProblem } from '@autovibe/core/checkpoints/manifest.ts'
import type { TreeChange } from '../../substrate.ts'
import { begin, end, failureOf, jsonOf, nextChunk, problemFailure, statusOf, unavailable } from './call.ts'

/** Held in memory, so that the next records are read while these are stored. */
const SMALL_BYTES = 1024 * 1024
/** Of changes as a whole; a tree of the largest kind at the pace of a slow disk. */
const TIMEOUT_MS = 12 * 60 * 60_000
const LENGTH_BYTES = 4

type Put = Extract<GuestChange, { kind: 'put' }>

export interface AskedChanges {
  readonly checkpointId: CheckpointId
  readonly since: CheckpointId | null
  /** Silence that is too long while more is waited for. */
  readonly stallMs: number
}

export async function* changesOf(
  session: ClientHttp2Session,
  { checkpointId, since, stallMs }: AskedChanges,
  signal: AbortSignal,
): AsyncGenerator<TreeChange, void> {
  const { stream, signal: within } = begin(session, '/changes', { timeoutMs: TIMEOUT_MS, signal })
  const bytes = new Bytes(stream, within, stallMs)
  try {
    stream.end(JSON.stringify({ checkpoint: checkpointId, since }))
    await bytes.begin()
    for (let changes = 0; ; changes++) {
      const record = await bytes.record()
      if (record.kind === 'failed') throw problemFailure(record.problem)
      if (record.kind === 'end') {
        if (record.changes !== changes) throw unavailable(`${changes} changes came of ${record.changes}`)
        return
      }
      if (changes >= MANIFEST_LIMITS.changes) throw unavailable(`more than ${MANIFEST_LIMITS.changes} changes`)
      if (record.kind === 'remove') yield { kind: 'remove', path: checked(record.path, pathProblem(record.path)) }
      else if (record.type !== 'file' || record.size === 0) yield put(record, () => Readable.from([], { objectMode: false }))
      else if (record.size <= SMALL_BYTES) {
        const content = await bytes.exactly(entryOf(record).size)
        yield put(record, () => Readable.from([content], { objectMode: false }))
      } else {
        const content = Readable.from(bytes.content(entryOf(record).size), { objectMode: false })
        content.on('error', () => undefined)
        yield put(record, () => content)
        // Nothing that comes later can be read before this was.
        if (!content.closed) await once(content, 'close', { signal: within })
        if (!bytes.isBetween) throw unavailable('a file was not read to its end')
      }
    }
  } catch (error) {
    throw failureOf(error, signal)
  } finally {
    end(stream)
  }
}

function put(record: Put, open: () => Readable): TreeChange {
  return { kind: 'put', entry: entryOf(record), open }
}

/** `size` of what has no content means nothing, and is the length of a link's target elsewhere. */
function entryOf({ kind: _, ...entry }: Put): Omit<ManifestEntry, 'sha256'> {
  checked(entry.path, entryProblem({ ...entry, sha256: null }, false))
  return entry
}

function checked<T>(value: T, problem: string | null): T {
  if (problem !== null) throw unavailable(`a change that no tree can have: ${problem}`)
  return value
}

class Bytes {
  readonly #stream: ClientHttp2Stream
  readonly #signal: AbortSignal
  readonly #stallMs: number
  #rest: Buffer = Buffer.alloc(0)
  /** Of a file's content that is being passed on. */
  #left = 0

  constructor(stream: ClientHttp2Stream, signal: AbortSignal, stallMs: number) {
    this.#stream = stream
    this.#signal = signal
    this.#stallMs = stallMs
  }

  get isBetween(): boolean {
    return this.#left === 0
  }

  /** Throws what the guest answers instead of a stream. */
  async begin(): Promise<void> {
    const within = AbortSignal.any([this.#signal, AbortSignal.timeout(this.#stallMs)])
    const status = await statusOf(this.#stream, within)
    if (status !== 200) throw problemFailure(await jsonOf(this.#stream, within))
  }

  async record(): Promise<GuestChange> {
    const length = (await this.exactly(LENGTH_BYTES)).readUInt32BE()
    if (length > GUEST_LIMITS.changeHeaderBytes) throw unavailable(`the header of a change of ${length} bytes`)
    const read = GuestChange.safeParse(JSON.parse((await this.exactly(length)).toString('utf8')))
    if (!read.success) throw unavailable(`a change of another form: ${read.error.message.slice(0, 500)}`)
    return read.data
  }

  async exactly(size: number): Promise<Buffer> {
    const parts: Buffer[] = []
    for (let left = size; left > 0; ) {
      const part = await this.#atMost(left)
      parts.push(part)
      left -= part.length
    }
    return Buffer.concat(parts, size)
  }

  async *content(size: number): AsyncGenerator<Buffer, void> {
    this.#left = size
    while (this.#left > 0) {
      const part = await this.#atMost(this.#left)
      this.#left -= part.length
      yield part
    }
  }

  async #atMost(most: number): Promise<Buffer> {
    if (this.#rest.length === 0) this.#rest = (await this.#next()) ?? broken()
    const part = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(part.length)
    return part
  }

  async #next(): Promise<Buffer | null> {
    const waiting = new AbortController()
    const timer = setTimeout(() => waiting.abort(unavailable(`nothing of the changes came within ${this.#stallMs} ms`)), this.#stallMs)
    try {
      return await nextChunk(this.#stream, AbortSignal.any([this.#signal, waiting.signal]))
    } finally {
      clearTimeout(timer)
    }
  }
}

function broken(): never {
  throw unavailable('the changes broke off')
}
