/** Reads what a manifest needs back from the store and hashes it. */
import { AutovibeError } from '@autovibe/contract'
import { diffTrees } from './manifest-tree/diff-trees.ts'
import { nodesOf } from './manifest-tree/nodes-of.ts'
import type { ReadNode } from './manifest-tree/ports.ts'
import { readEntries } from './manifest-tree/read-entries.ts'
import { chunksOf, partsOf } from './read-content.ts'
import { WHOLE_BYTES } from './segments/content-writer.ts'
import type { ObjectStore } from './segments/object-store.ts'
import type { Verification } from './store.ts'

const DAMAGED_MAX = 100
/** Contents whose hashes are gathered before they are read in the order in which they lie. */
const TOGETHER = 50_000

interface Needed {
  readonly sha256: string
  readonly size: number
}

/** Checks every node and content that `since`, a verified manifest, does not hold already; each once. `checkpoint.corrupt` when a node of the manifest itself is damaged; what the disk does not give is neither sound nor damaged, and fails as that. */
export async function verifyManifest(objects: ObjectStore, root: string, since: string | null, signal: AbortSignal): Promise<Verification> {
  objects.forgetWhatWasRead()
  const read: ReadNode = (sha256) => objects.read('node', sha256)
  const broken = (since === null ? null : await brokenSince(objects, read, root, since, signal)) ?? (await brokenAmong(objects, neededBy(root, read), signal))
  const damaged: string[] = []
  if (broken.size > 0)
    for await (const entry of readEntries(root, read))
      if (entry.sha256 !== null && broken.has(keyOf({ sha256: entry.sha256, size: entry.size }))) damaged.push(entry.path)
  return { ok: broken.size === 0, damaged: damaged.slice(0, DAMAGED_MAX) }
}

/** Null when the earlier manifest cannot be read: then it vouches for nothing, and everything is to be read. */
async function brokenSince(objects: ObjectStore, read: ReadNode, root: string, since: string, signal: AbortSignal): Promise<ReadonlySet<string> | null> {
  try {
    return await brokenAmong(objects, addedSince(root, since, read), signal)
  } catch (error) {
    if (error instanceof AutovibeError && error.code === 'checkpoint.corrupt') return null
    throw error
  }
}

async function* neededBy(root: string, read: ReadNode): AsyncGenerator<Needed, void> {
  for await (const { contents } of nodesOf(root, read)) yield* contents
}

async function* addedSince(root: string, since: string, read: ReadNode): AsyncGenerator<Needed, void> {
  for await (const { before, after } of diffTrees(since, root, read)) {
    if (after === null || after.sha256 === null) continue
    if (before?.sha256 !== after.sha256 || before.size !== after.size) yield { sha256: after.sha256, size: after.size }
  }
}

/** Two sizes for one hash cannot both be right, so each is checked. */
const keyOf = ({ sha256, size }: Needed): string => `${sha256}/${size}`

async function brokenAmong(objects: ObjectStore, needed: AsyncIterable<Needed>, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const broken = new Set<string>()
  const seen = new Set<string>()
  let small = new Map<string, number[]>()
  for await (const one of needed) {
    signal.throwIfAborted()
    const key = keyOf(one)
    if (seen.has(key)) continue
    seen.add(key)
    if (one.size > WHOLE_BYTES) {
      if (!(await isLargeSound(objects, one, signal))) broken.add(key)
      continue
    }
    small.set(one.sha256, [...(small.get(one.sha256) ?? []), one.size])
    if (small.size < TOGETHER) continue
    await checkSmall(objects, small, broken, signal)
    small = new Map()
  }
  await checkSmall(objects, small, broken, signal)
  return broken
}

async function checkSmall(objects: ObjectStore, small: ReadonlyMap<string, readonly number[]>, broken: Set<string>, signal: AbortSignal): Promise<void> {
  const wanted = [...small.keys()].map((sha256) => ({ kind: 'content' as const, sha256 }))
  for await (const { sha256, bytes, unread } of objects.readMany(wanted, signal)) {
    if (unread !== null) throw unread
    for (const size of small.get(sha256) ?? []) if (bytes?.length !== size) broken.add(keyOf({ sha256, size }))
  }
}

async function isLargeSound(objects: ObjectStore, { sha256, size }: Needed, signal: AbortSignal): Promise<boolean> {
  try {
    const chunks = await chunksOf(objects, sha256)
    if (chunks === null) return false
    let bytes = 0
    for await (const part of partsOf(objects, sha256, chunks)) {
      signal.throwIfAborted()
      bytes += part.length
      if (bytes > size) return false
    }
    return bytes === size
  } catch (error) {
    if (error instanceof AutovibeError && error.code === 'checkpoint.corrupt') return false
    throw error
  }
}
