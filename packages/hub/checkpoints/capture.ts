/** Reads the changes of a tree into the store: contents first, then their names made durable, then the manifest that needs them. */
import type { ManifestEntry } from '@autovibe/contract'
import {
  applyChanges,
  entryProblem,
  MANIFEST_LIMITS,
  type ManifestChange,
  manifestTotals,
  pathProblem,
  quotePath,
  treeRefused,
} from '@autovibe/core/checkpoints/manifest.ts'
import { encodeManifest } from '@autovibe/core/checkpoints/manifest-format.ts'
import type { TreeChange } from '../substrates/substrate.ts'
import type { Layout } from './layout.ts'
import type { Captured } from './store.ts'
import { storeError, treeError } from './store-errors.ts'
import type { ObjectWriter } from './write-object.ts'

/** Contents read at once; each holds at most a mebibyte, and libuv has four threads for all of them. */
const PARALLEL = 4

type Put = Extract<TreeChange, { kind: 'put' }>

/** Captures the changes over `parent`. Errors: see CheckpointStore.capture. */
export async function captureTree(
  layout: Layout,
  writer: ObjectWriter,
  parent: readonly ManifestEntry[],
  changes: AsyncIterable<TreeChange>,
  signal: AbortSignal,
): Promise<Captured> {
  const needed = new Set<string>()
  const collected: ManifestChange[] = []
  let newBytes = 0
  await eachChange(changes, signal, async (change, slot, stop) => {
    if (change.kind === 'remove' || change.entry.type !== 'file') {
      collected[slot] = change.kind === 'remove' ? { kind: 'remove', path: change.path } : { kind: 'put', entry: { ...change.entry, sha256: null } }
      return
    }
    const written = await writer.write(quotePath(change.entry.path), openContent(change), change.entry.size, stop)
    needed.add(written.sha256)
    newBytes += written.newBytes
    collected[slot] = { kind: 'put', entry: { ...change.entry, sha256: written.sha256 } }
  })
  const entries = applyChanges(parent, collected)
  const bytes = encodeManifest(entries)
  signal.throwIfAborted()
  await durable(layout, 'objects', needed)
  const manifest = await writer.writeBytes('manifests', bytes)
  await durable(layout, 'manifests', [manifest.sha256])
  const totals = manifestTotals(entries)
  return { manifestSha256: manifest.sha256, files: totals.files, bytes: totals.bytes, newBytes: newBytes + manifest.newBytes }
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

async function durable(layout: Layout, kind: 'objects' | 'manifests', sha256s: Iterable<string>): Promise<void> {
  try {
    await layout.sync(kind, sha256s)
  } catch (error) {
    throw storeError(error, layout.root)
  }
}
