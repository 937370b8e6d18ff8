/** Which of many objects are read together: those whose records lie close to each other in one segment. */
import type { RecordRow } from './format.ts'
import type { Place } from './object-index.ts'

/** What lies between two records is read as well, if it is no more than this. */
const GAP_BYTES = 64 * 1024
const SPAN_BYTES = 1024 * 1024
/** Zeros take nearly nothing while they are sealed. */
const PLAIN_BYTES = 4 * 1024 * 1024

export interface Span<T> {
  readonly items: readonly T[]
  readonly offset: number
  readonly length: number
}

/** Parts items that are sorted by segment and record. One whose record is not known makes a span of its own, of no bytes. */
export function* spansOf<T extends { readonly place: Place }>(sorted: readonly T[], recordOf: (item: T) => RecordRow | undefined): Generator<Span<T>, void> {
  for (let from = 0; from < sorted.length; ) {
    const first = sorted[from] as T
    const begin = recordOf(first)?.offset ?? 0
    let end = begin + (recordOf(first)?.length ?? 0)
    let plainBytes = recordOf(first)?.plainBytes ?? 0
    let to = from + 1
    for (; to < sorted.length; to++) {
      const next = sorted[to] as T
      const record = recordOf(next)
      if (record === undefined || next.place.segment !== first.place.segment || record.offset - end > GAP_BYTES) break
      if (record.offset + record.length - begin > SPAN_BYTES && record.offset + record.length > end) break
      if (next.place.record !== sorted[to - 1]?.place.record) plainBytes += record.plainBytes
      if (plainBytes > PLAIN_BYTES) break
      end = Math.max(end, record.offset + record.length)
    }
    yield { items: sorted.slice(from, to), offset: begin, length: end - begin }
    from = to
  }
}
