/** Reads the changes of a tree into the store: contents first, then the manifest that needs them, then the name that keeps it. */
import { entryProblem, MANIFEST_LIMITS, type ManifestChange, pathProblem, quotePath, treeRefused } from '@autovibe/core/checkpoints/manifest.ts'
import type { TreeChange } from '../substrates/substrate.ts'
import { FileFailure, type HostFiles } from './host-files/host-files.ts'
import { InOrder } from './in-order.ts'
import { Load } from './load.ts'
import { writeChanges } from './manifest-tree/write-changes.ts'
import type { ContentWriter } from './segments/content-writer.ts'
import type { ObjectStore } from './segments/object-store.ts'
import type { SegmentWriter } from './segments/segment-writer.ts'
import type { Captured } from './store.ts'
import { treeChanged, treeError } from './store-errors.ts'

/** What may be under way at once: of what is read as a stream, which holds up to a few mebibytes, eight. */
const LOAD_MAX = 64
const LOAD_OF_STREAM = 8
/** Smaller files are read whole by a thread of their own, many at a time. */
const SMALL_BYTES = 128 * 1024

type Put = Extract<TreeChange, { kind: 'put' }>

export interface Destination {
  readonly objects: ObjectStore
  readonly files: HostFiles
  readonly writer: SegmentWriter
  readonly contents: ContentWriter
}

/** Stores the tree that `parent` (the root of its manifest) becomes by the changes; all is durable when it resolves. Errors: see CheckpointStore.capture. */
export async function captureTree(to: Destination, parent: string | null, changes: AsyncIterable<TreeChange>, signal: AbortSignal): Promise<Captured> {
  const captured = new InOrder<ManifestChange>()
  const failure = new AbortController()
  const capturing = captureChanges(to, changes, captured, AbortSignal.any([signal, failure.signal])).then(
    () => captured.end(),
    (error: unknown) => captured.fail(error),
  )
  try {
    const { root, files, bytes } = await writeChanges(
      parent,
      captured,
      (sha256) => to.objects.read('node', sha256),
      (node) => to.contents.writeBytes('node', node),
    )
    signal.throwIfAborted()
    const newBytes = await to.writer.finish()
    return { manifestSha256: root, files, bytes, newBytes }
  } catch (error) {
    failure.abort(error)
    throw error
  } finally {
    // Nothing is stored behind the back of whoever hears of a failure.
    await capturing
  }
}

/** Stores what the changes bring, and gives each in its order as it stands in a manifest. */
async function captureChanges(to: Destination, changes: AsyncIterable<TreeChange>, captured: InOrder<ManifestChange>, signal: AbortSignal): Promise<void> {
  let textBytes = 0
  await eachChange(changes, signal, async (change, slot, stop) => {
    // The tree has so many paths, but an agent may make each of them four thousand bytes long.
    textBytes += change.kind === 'remove' ? change.path.length : change.entry.path.length + (change.entry.link_target?.length ?? 0)
    if (textBytes > MANIFEST_LIMITS.textBytes) throw treeRefused(`its paths are longer than ${MANIFEST_LIMITS.textBytes} bytes together`)
    if (change.kind === 'remove') captured.put(slot, { kind: 'remove', path: change.path })
    else {
      const sha256 = change.entry.type === 'file' ? await storeContent(to, change, stop) : null
      captured.put(slot, { kind: 'put', entry: { ...change.entry, sha256 } })
    }
  })
}

const isSmall = (change: Put): boolean => change.hold !== undefined && change.entry.size <= SMALL_BYTES

async function storeContent(to: Destination, change: Put, stop: AbortSignal): Promise<string> {
  const name = quotePath(change.entry.path)
  const held = isSmall(change) ? change.hold?.() : undefined
  if (held === undefined) return await to.contents.write(name, openContent(change), change.entry.size, stop)
  try {
    const { sha256, bytes } = await to.files.read(held.path, change.entry.size)
    return await to.contents.writeHashed(sha256, bytes)
  } catch (error) {
    if (!(error instanceof FileFailure)) throw error
    if (CHANGED.has(error.code)) throw treeChanged(name, error.message)
    if (error.code !== 'EACCES') throw treeError(name, error)
    // What an agent has locked against its owner, whoever opens it reads all the same.
    return await to.contents.write(name, openContent(change), change.entry.size, stop)
  } finally {
    held.release()
  }
}

const CHANGED = new Set(['EGREW', 'ESHRANK', 'ENOTFILE'])

/** Runs `each` for every change, some at once, in no order; the first failure stops the others and is thrown when they have ended. */
async function eachChange(
  changes: AsyncIterable<TreeChange>,
  signal: AbortSignal,
  each: (change: TreeChange, slot: number, stop: AbortSignal) => Promise<void>,
): Promise<void> {
  const failure = new AbortController()
  const stop = AbortSignal.any([signal, failure.signal])
  const load = new Load(LOAD_MAX)
  let slot = 0
  try {
    for await (const change of until(changes, stop)) {
      if (slot >= MANIFEST_LIMITS.changes) throw treeRefused(`it has more than ${MANIFEST_LIMITS.changes} changes`)
      const problem = change.kind === 'remove' ? pathProblem(change.path) : entryProblem({ ...change.entry, sha256: null }, false)
      if (problem !== null) throw treeRefused(problem)
      const weight = change.kind === 'put' && change.entry.type === 'file' && !isSmall(change) ? LOAD_OF_STREAM : 1
      const work = each(change, slot++, stop)
      await load.add(
        weight,
        work.catch((error: unknown) => failure.abort(error)),
      )
    }
  } catch (error) {
    failure.abort(error)
  }
  await load.ended()
  signal.throwIfAborted()
  if (failure.signal.aborted) throw failure.signal.reason
}

/** The changes until `stop`; a producer that does not answer is left behind rather than waited for. */
async function* until(changes: AsyncIterable<TreeChange>, stop: AbortSignal): AsyncGenerator<TreeChange, void> {
  const iterator = changes[Symbol.asyncIterator]()
  // Of the change that is waited for. To race each with one promise of the stop would keep all of them in memory for as long as that is there.
  let leave = (_reason: unknown): void => undefined
  const onStop = (): void => leave(stop.reason)
  stop.addEventListener('abort', onStop, { once: true })
  let ended = false
  try {
    for (;;) {
      stop.throwIfAborted()
      const next = await new Promise<IteratorResult<TreeChange>>((resolve, reject) => {
        leave = reject
        iterator.next().then(resolve, reject)
      })
      if (next.done === true) {
        ended = true
        return
      }
      yield next.value
    }
  } finally {
    stop.removeEventListener('abort', onStop)
    // Not awaited: a generator that hangs in `next` would answer never. Its own failure after the end concerns nobody.
    if (!ended) iterator.return?.().catch(() => undefined)
  }
}

function openContent(change: Put): ReturnType<Put['open']> {
  try {
    return change.open()
  } catch (error) {
    throw treeError(quotePath(change.entry.path), error)
  }
}
