/** Garbage collection: carries out what core/checkpoints/collection.ts decides, segment by segment. A crash anywhere leaves only what the next look finds again. */
import { planCollection, type SegmentState } from '@autovibe/core/checkpoints/collection.ts'
import { beginWriting, condemn, listIntents, readMarkers, writerOf } from './intents.ts'
import { ObjectSet, reachedObjects, type StorePlace } from './reached.ts'
import type { ObjectRow } from './segments/format.ts'
import { condemnedName, segmentName } from './segments/names.ts'
import type { Collected } from './store.ts'

/** One look. The order of what is read matters: segments, then markers and writers, then names; whoever has ended by then has left a name. */
export async function collectSegments(place: StorePlace, signal: AbortSignal): Promise<Collected> {
  const { backend, folder, objects, left } = place
  const stuck = await left.endAgain(backend)
  // What collectors would wait for without end is to be heard of.
  if (stuck !== null) throw stuck
  await objects.refresh()
  const segments = objects.segments.map(({ id }) => id)
  const markers = await readMarkers(backend, folder)
  const intents = await listIntents(backend, folder)
  const reached = await reachedObjects(place, signal)
  const isBeingWritten = (id: string): boolean => intents.has(writerOf(id))
  const looked = new Set(segments.filter((id) => !isBeingWritten(id)))
  const { states, needed } = await lookAt(place, looked, markers, reached, signal)

  let [condemned, deleted, movedBytes] = [0, 0, 0]
  for (const action of planCollection(states, intents)) {
    signal.throwIfAborted()
    const { kind, id } = action
    if (kind === 'move') movedBytes += await moveObjects(place, needed.get(id) ?? [], signal)
    if ((kind === 'move' && !markers.has(id)) || kind === 'condemn') {
      await condemn(backend, folder, id, null)
      condemned++
    } else if (kind === 'note') await condemn(backend, folder, id, action.intents)
    else if (kind === 'delete') {
      objects.leave(id)
      await backend.delete(segmentName(folder, id))
      await backend.delete(condemnedName(folder, id))
      deleted++
    }
  }
  // A marker whose segment is gone was left between the two deletions. One that came after the list was made is no such.
  const listed = new Set(segments)
  for (const id of markers.keys())
    if (!listed.has(id) && (await backend.get(segmentName(folder, id), { offset: 0, length: 1 })) === null) await backend.delete(condemnedName(folder, id))
  if (deleted > 0) await objects.refresh()
  return { segments: segments.length, condemned, deleted, movedBytes }
}

interface Looked {
  readonly states: readonly SegmentState[]
  /** What is needed of each segment that may be moved. */
  readonly needed: ReadonlyMap<string, readonly ObjectRow[]>
}

/** Which part of each segment is needed: of those that stay, and, where it lies in none of them, of those that are condemned. */
async function lookAt(
  { objects }: StorePlace,
  looked: ReadonlySet<string>,
  markers: ReadonlyMap<string, readonly string[] | null>,
  reached: ObjectSet,
  signal: AbortSignal,
): Promise<Looked> {
  const states: SegmentState[] = []
  const needed = new Map<string, readonly ObjectRow[]>()
  const placed = new ObjectSet()
  for (const isCondemned of [false, true]) {
    for await (const { id, damaged, objects: rows } of objects.tables()) {
      signal.throwIfAborted()
      if (markers.has(id) !== isCondemned) continue
      if (!looked.has(id)) continue
      // Of two copies that are not condemned both stay: one may have gone bad on the disk, and the other have healed it.
      const rowsNeeded = rows.filter(({ kind, sha256 }) => reached.has(kind, sha256) && !(isCondemned && placed.has(kind, sha256)))
      if (!isCondemned) for (const { kind, sha256 } of rowsNeeded) placed.add(kind, sha256)
      const [plainBytes, neededBytes] = [bytesOf(rows), bytesOf(rowsNeeded)]
      states.push({ id, plainBytes, neededBytes, damaged, condemned: isCondemned ? { intents: markers.get(id) ?? null } : null })
      if (isCondemned || damaged || neededBytes < plainBytes) needed.set(id, rowsNeeded)
    }
  }
  return { states, needed }
}

const bytesOf = (rows: readonly ObjectRow[]): number => rows.reduce((sum, { bytes }) => sum + bytes + 1, 0)

/** Writes them into new segments; answers how many bytes they are. Those that cannot be read stay where they are. */
async function moveObjects({ backend, folder, objects, writer: as, left }: StorePlace, rows: readonly ObjectRow[], signal: AbortSignal): Promise<number> {
  const intent = await beginWriting(backend, folder, as, left)
  try {
    const writer = objects.writer(intent.id)
    let moved = 0
    for await (const { kind, sha256, bytes } of objects.readMany(rows, signal)) {
      if (bytes === null || writer.has(kind, sha256)) continue
      await writer.add(kind, sha256, Buffer.from(bytes))
      moved += bytes.length
    }
    await writer.finish()
    return moved
  } finally {
    await intent.end()
  }
}
