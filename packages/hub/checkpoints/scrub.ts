/** Reads all that a store holds of a project, slowly, to find what went bad after it was verified. */
import { setTimeout as delay } from 'node:timers/promises'
import type { StorePlace } from './reached.ts'
import { segmentProblem } from './segments/check-segment.ts'
import { segmentKey } from './segments/format.ts'
import { segmentName } from './segments/names.ts'
import type { Scrubbed } from './store.ts'
import { isUnread } from './store-errors.ts'

const PROBLEMS_MAX = 100

/** Each segment whole, and after each a rest, so that no more than so many bytes are read in a second. */
export async function scrubSegments({ backend, folder, key, objects }: StorePlace, bytesPerSecond: number, signal: AbortSignal): Promise<Scrubbed> {
  await objects.refresh()
  const problems: string[] = []
  const unread: string[] = []
  let [segments, bytes] = [0, 0]
  for (const { id } of [...objects.segments]) {
    signal.throwIfAborted()
    const begunMs = performance.now()
    const segment = await backend.get(segmentName(folder, id)).catch((error: unknown) => {
      if (!isUnread(error)) throw error
      if (unread.length < PROBLEMS_MAX) unread.push(`The segment ${id} could not be read: ${error.message}`)
      return null
    })
    // It was collected meanwhile, or the disk does not give it.
    if (segment === null) continue
    const name = Buffer.from(id, 'hex')
    const problem = segmentProblem(segment, name, segmentKey(key, name))
    if (problem !== null && problems.length < PROBLEMS_MAX) problems.push(`The segment ${id} is damaged: ${problem}.`)
    segments++
    bytes += segment.length
    const restMs = (segment.length / bytesPerSecond) * 1000 - (performance.now() - begunMs)
    if (restMs > 0) await delay(restMs, undefined, { signal })
  }
  return { segments, bytes, problems, unread }
}
