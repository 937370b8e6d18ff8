/** Reads the changes of a tree into the store: contents first, then the manifest that needs them, then the name that keeps it. */
import { entryProblem, MANIFEST_LIMITS, type ManifestChange, pathProblem, quotePath, treeRefused } from '@autovibe/core/checkpoints/manifest.ts'
import type { TreeChange } from '../substrates/substrate.ts'
import { writeChanges } from './manifest-tree/write-changes.ts'
import type { ContentWriter } from './segments/content-writer.ts'
import type { ObjectStore } from './segments/object-store.ts'
import type { SegmentWriter } from './segments/segment-writer.ts'
import type { Captured } from './store.ts'
import { treeError } from './store-errors.ts'

/** Contents read at once; each holds at most a few mebibytes, and libuv has four threads for all of them. */
const PARALLEL = 8

type Put = Extract<TreeChange, { kind: 'put' }>

export interface Destination {
  readonly objects: ObjectStore
  readonly writer: SegmentWriter
  readonly contents: ContentWriter
}

/** Stores the tree that `parent` (the root of its manifest) becomes by the changes; all is durable when it resolves. Errors: see CheckpointStore.capture. */
export async function captureTree(to: Destination, parent: string | null, changes: AsyncIterable<TreeChange>, signal: AbortSignal): Promise<Captured> {
  const collected: ManifestChange[] = []
  let textBytes = 0
  await eachChange(changes, signal, async (change, slot, stop) => {
    // The tree has so many paths, but an agent may make each of them four thousand bytes long.
    textBytes += change.kind === 'remove' ? change.path.length : change.entry.path.length + (change.entry.link_target?.length ?? 0)
    if (textBytes > MANIFEST_LIMITS.textBytes) throw treeRefused(`its paths are longer than ${MANIFEST_LIMITS.textBytes} bytes together`)
    if (change.kind === 'remove' || change.entry.type !== 'file') {
      collected[slot] = change.kind === 'remove' ? { kind: 'remove', path: change.path } : { kind: 'put', entry: { ...change.entry, sha256: null } }
      return
    }
    const sha256 = await to.contents.write(quotePath(change.entry.path), openContent(change), change.entry.size, stop)
    collected[slot] = { kind: 'put', entry: { ...change.entry, sha256 } }
  })
  const { root, files, bytes } = await writeChanges(
    parent,
    collected,
    (sha256) => to.objects.read('node', sha256),
    (node) => to.contents.writeBytes('node', node),
  )
  signal.throwIfAborted()
  const newBytes = await to.writer.finish()
  return { manifestSha256: root, files, bytes, newBytes }
}

/** Runs `each` for every change, a few at once, in no order; the first failure stops the others and is thrown when they have ended. */
async function eachChange(
  changes: AsyncIterable<TreeChange>,
  signal: AbortSignal,
  each: (change: TreeChange, slot: number, stop: AbortSignal) => Promise<void>,
): Promise<void> {
  const failure = new AbortController()
  const stop = AbortSignal.any([signal, failure.signal])
  const running = new Set<Promise<void>>()
  let slot = 0
  try {
    for await (const change of until(changes, stop)) {
      if (slot >= MANIFEST_LIMITS.changes) throw treeRefused(`it has more than ${MANIFEST_LIMITS.changes} changes`)
      const problem = change.kind === 'remove' ? pathProblem(change.path) : entryProblem({ ...change.entry, sha256: null }, false)
      if (problem !== null) throw treeRefused(problem)
      const work = each(change, slot++, stop)
        .catch((error: unknown) => failure.abort(error))
        .finally(() => running.delete(work))
      running.add(work)
      if (running.size >= PARALLEL) await Promise.race(running)
    }
  } catch (error) {
    failure.abort(error)
  }
  await Promise.all(running)
  signal.throwIfAborted()
  if (failure.signal.aborted) throw failure.signal.reason
}

/** The changes until `stop`; a producer that does not answer is left behind rather than waited for. */
async function* until(changes: AsyncIterable<TreeChange>, stop: AbortSignal): AsyncGenerator<TreeChange, void> {
  const iterator = changes[Symbol.asyncIterator]()
  const { promise: stopped, reject } = Promise.withResolvers<never>()
  // Rejected without a listener when the loop has already ended.
  stopped.catch(() => undefined)
  const onStop = (): void => reject(stop.reason)
  stop.addEventListener('abort', onStop, { once: true })
  let ended = false
  try {
    stop.throwIfAborted()
    for (;;) {
      const next = await Promise.race([iterator.next(), stopped])
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
