/** The segments that are known, and where each object lies in them. One that is made anew takes the place of the old as a whole: places of the one mean nothing in the other. */
import type { KeyObject } from 'node:crypto'
import type { RecordRow, Table } from './format.ts'
import { ObjectIndex } from './object-index.ts'

export interface Segment {
  readonly id: string
  readonly key: KeyObject
  readonly bytes: number
  readonly records: readonly RecordRow[]
  /** Its table could not be read, and so it holds only what could be saved. */
  readonly damaged: boolean
}

export class Catalogue {
  readonly segments: Segment[] = []
  readonly index = new ObjectIndex()
  readonly #known = new Set<string>()

  has(segmentId: string): boolean {
    return this.#known.has(segmentId)
  }

  /** `isNew` is asked of each object first, with the segment in which it lies: true when it is to be read from here from now on, wherever it lay before. */
  add(segment: Segment, { objects }: Table, isNew: (name: string, lies: () => string | undefined) => boolean): void {
    // Two may have looked at it at once, or one while it was put.
    if (this.#known.has(segment.id)) return
    const number = this.segments.push(segment) - 1
    this.#known.add(segment.id)
    for (const row of objects) {
      const lies = (): string | undefined => this.segments[this.index.get(row.kind, row.sha256)?.segment ?? -1]?.id
      if (isNew(`${row.kind}/${row.sha256}`, lies)) this.index.replace(number, row)
      else this.index.add(number, row)
    }
  }
}
