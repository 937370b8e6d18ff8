/** Sorted edits carried into a sorted tree: which of its nodes an edit touches, which vanish as a whole, and what a leaf becomes. The tree must be walked in order. */
import { type LeafItem, leafItem } from './node.ts'
import type { Edit } from './pending-changes.ts'

/** All keys from `from` up to, not including, `to`. */
interface Range {
  readonly from: string
  readonly to: string
}

export class Merge {
  readonly #edits: readonly Edit[]
  #at = 0
  /** Removed ranges that are not behind us, none within another. Like open folders, the last one begins and ends first. */
  readonly #ranges: Range[] = []

  /** `edits`: sorted by their keys, one a key. */
  constructor(edits: readonly Edit[]) {
    this.#edits = edits
  }

  /**
   * Whether the part of the tree from `first` to `next` (null: to its end) can come out otherwise. It can when its successor's first entry goes: that entry may have been all
   * that parted the two.
   */
  touches(first: string, next: string | null): boolean {
    const edit = this.#edits[this.#at]
    if (edit !== undefined && (next === null || edit.key < next || (edit.key === next && edit.entry === null))) return true
    const range = this.#rangeFrom(first)
    return range !== undefined && (next === null || range.from <= next)
  }

  /** Whether nothing of this part is left, and nothing comes in its place. */
  drops(first: string, next: string | null): boolean {
    const edit = this.#edits[this.#at]
    if (next === null || (edit !== undefined && edit.key < next)) return false
    const range = this.#rangeFrom(first)
    return range !== undefined && range.from <= first && next <= range.to
  }

  /** Of parts that begin at `firsts`, the last one before `next`: those that hold the key of an edit. A forecast for reading ahead. */
  holdingEdits(firsts: readonly string[], next: string | null): number[] {
    const found: number[] = []
    let at = this.#at
    for (let index = 0; index < firsts.length; index++) {
      const end = index + 1 < firsts.length ? firsts[index + 1] : next
      const before = at
      for (let edit = this.#edits[at]; edit !== undefined && (end == null || edit.key < end); edit = this.#edits[at]) at++
      if (at > before) found.push(index)
    }
    return found
  }

  /** What the part with these entries becomes, up to `next`. */
  *merged(items: readonly LeafItem[], next: string | null): Generator<LeafItem, void> {
    for (const item of items) {
      yield* this.#putsBefore(item.key)
      const edit = this.#edits[this.#at]
      const isCleared = this.#isCleared(item.key)
      if (edit?.key !== item.key) {
        if (!isCleared) yield item
        continue
      }
      this.#at++
      // Nothing lies beneath what was no directory. Within a removed range, everything goes anyway.
      if (edit.clears && item.entry.type === 'directory' && !isCleared) this.#ranges.push({ from: `${item.key}/`, to: `${item.key}0` })
      if (edit.entry !== null) yield leafItem(edit.key, edit.entry)
    }
    yield* this.#putsBefore(next)
  }

  *#putsBefore(key: string | null): Generator<LeafItem, void> {
    for (let edit = this.#edits[this.#at]; edit !== undefined && (key === null || edit.key < key); edit = this.#edits[this.#at]) {
      this.#at++
      if (edit.entry !== null) yield leafItem(edit.key, edit.entry)
    }
  }

  #isCleared(key: string): boolean {
    const range = this.#rangeFrom(key)
    return range !== undefined && range.from <= key
  }

  #rangeFrom(key: string): Range | undefined {
    let range = this.#ranges.at(-1)
    for (; range !== undefined && range.to <= key; range = this.#ranges.at(-1)) this.#ranges.pop()
    return range
  }
}
