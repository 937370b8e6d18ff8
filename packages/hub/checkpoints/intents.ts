/**
 * Who is writing to a project's objects, and which segments are about to go (docs/explanation/checkpoints.md). A writer says that it has begun before it looks which segments are condemned,
 * and takes what lies in those for missing; a collector deletes a condemned segment only when everyone has ended who may have begun without knowing. No clock decides anything here.
 */
import { randomBytes } from 'node:crypto'
import type { Backend } from './backends/backend.ts'
import { condemnedFolder, condemnedName, intentName, intentsFolder } from './segments/names.ts'

/** With as many bytes every segment begins that a writer makes, so that a collector knows whose it is. */
const ID_BYTES = 8
/** Of who is waited for, in a marker: far more writers than there are. */
const MARKER_BYTES_MAX = 1024 * 1024

/** One run of one of the Hubs that share a place. */
export interface Writer {
  /** 32 hex digits that no other Hub has, the same after every start. */
  readonly hubId: string
  /** Decides nothing; it tells a person how old what was left behind is. */
  readonly bootedAt: Date
}

export interface Intent {
  readonly id: Buffer
  readonly condemned: ReadonlySet<string>
  /** What was written stands whether or not its end can be told: one that cannot is left for the next occasion. */
  end(): Promise<void>
}

/** The intents of one project that have ended and could not be taken away: as long as one is there, collectors wait for it. */
export class LeftIntents {
  readonly #names = new Set<string>()

  async end(backend: Backend, name: string): Promise<void> {
    this.#names.add(name)
    await this.#delete(backend, name)
  }

  /** Answers why one of them is still there, null when none is. The others are not tried then: a place that does not answer would take its time for each. */
  async endAgain(backend: Backend): Promise<unknown> {
    for (const name of [...this.#names]) {
      const failure = await this.#delete(backend, name)
      if (failure !== null) return failure
    }
    return null
  }

  async #delete(backend: Backend, name: string): Promise<unknown> {
    try {
      await backend.delete(name)
      this.#names.delete(name)
      return null
    } catch (error) {
      return error
    }
  }
}

/** `writer`: null in a place that nobody else uses. */
export async function beginWriting(backend: Backend, folder: string, writer: Writer | null, left = new LeftIntents()): Promise<Intent> {
  const id = randomBytes(ID_BYTES)
  const name = intentName(folder, writer === null ? id.toString('hex') : `${writer.hubId}-${writer.bootedAt.getTime()}-${id.toString('hex')}`)
  try {
    await backend.put(name, Buffer.alloc(0), { fleeting: true })
    const condemned = new Set<string>()
    for await (const segmentId of namesIn(backend, condemnedFolder(folder))) condemned.add(segmentId)
    return { id, condemned, end: () => left.end(backend, name) }
  } catch (error) {
    // Of a place far away whose answer was lost it may be there.
    await left.end(backend, name)
    throw error
  }
}

/** For a user who has just begun: what is there of its own, or of anyone in a place that nobody else uses, was left by a process that died. What another Hub has begun stays. */
export async function endOldIntents(backend: Backend, folder: string, writer: Writer | null): Promise<void> {
  for await (const intent of namesIn(backend, intentsFolder(folder))) {
    if (writer === null || intent.startsWith(`${writer.hubId}-`)) await backend.delete(intentName(folder, intent))
  }
}

/** All who are writing now, by the ids with which their segments begin. */
export async function listIntents(backend: Backend, folder: string): Promise<Set<string>> {
  return new Set(await Array.fromAsync(namesIn(backend, intentsFolder(folder)), (name) => name.slice(-ID_BYTES * 2)))
}

/** The one who made the segment. */
export const writerOf = (segmentId: string): string => segmentId.slice(0, ID_BYTES * 2)

/** Condemned segments, with those who were writing after that; null where nobody has looked yet. */
export async function readMarkers(backend: Backend, folder: string): Promise<Map<string, readonly string[] | null>> {
  const markers = new Map<string, readonly string[] | null>()
  for await (const segmentId of namesIn(backend, condemnedFolder(folder))) {
    const text = (await backend.get(condemnedName(folder, segmentId), { offset: 0, length: MARKER_BYTES_MAX }))?.toString('latin1')
    // One that is not understood counts as fresh: then all who write now are waited for.
    if (text !== undefined) markers.set(segmentId, /^intents( [0-9a-f]{16})*\n$/.test(text) ? text.trim().split(' ').slice(1) : null)
  }
  return markers
}

/** `intents` null: nobody has looked yet who is writing. */
export async function condemn(backend: Backend, folder: string, segmentId: string, intents: readonly string[] | null): Promise<void> {
  await backend.put(condemnedName(folder, segmentId), Buffer.from(intents === null ? '' : `${['intents', ...intents].join(' ')}\n`))
}

async function* namesIn(backend: Backend, folder: string): AsyncGenerator<string, void> {
  for await (const { name } of backend.list(folder)) yield name.slice(name.lastIndexOf('/') + 1)
}
