/** Which of the files that came are files that went: by their content, then by how alike their texts are, within bounds that no tree can stretch. */
import type { EntryDifference } from '@autovibe/core/checkpoints/diff.ts'
import { type Candidate, Candidates, type Rename } from '@autovibe/core/checkpoints/renames/candidates.ts'
import { pairExact } from '@autovibe/core/checkpoints/renames/exact.ts'
import { bestOf, chooseRenames, mayBeSimilar, SIMILAR, sameNamePairs, sizesAllow } from '@autovibe/core/checkpoints/renames/similar.ts'
import { type Spans, similarity, spansOf } from '@autovibe/core/checkpoints/renames/spans.ts'
import { Turns } from '../manifest-tree/turns.ts'
import type { ProjectStore } from '../store.ts'
import { contentOf, isText } from './contents.ts'
import { isRefusedByGit } from './git-text.ts'

export interface Renames {
  /** By the path that came. */
  readonly byPath: ReadonlyMap<string, Rename>
  /** The paths that went. */
  readonly sources: ReadonlySet<string>
  /** There was too much to compare, so some that were renamed may be shown as removed and added. */
  readonly isLimited: boolean
}

export const NO_RENAMES: Renames = { byPath: new Map(), sources: new Set(), isLimited: false }

/** `changes`: what may be renamed, without what is ignored. */
export async function findRenames(store: ProjectStore, changes: AsyncIterable<EntryDifference>, signal: AbortSignal): Promise<Renames> {
  const candidates = new Candidates()
  for await (const change of changes) {
    const type = (change.before ?? change.after)?.type
    if (type !== undefined && !isRefusedByGit(change.path, type)) candidates.offer(change)
  }
  if (candidates.isOver) return { ...NO_RENAMES, isLimited: true }
  const exact = pairExact(candidates.removed, candidates.added)
  const search = new Search(store, signal)
  const similar = await search.run(exact.removed.filter(mayBeSimilar), exact.added.filter(mayBeSimilar))
  const all = [...exact.renames, ...similar]
  return { byPath: new Map(all.map((one) => [one.to.path, one])), sources: new Set(all.map(({ from }) => from.path)), isLimited: search.isLimited }
}

/** One search among what is left, with all that it may still take. */
class Search {
  readonly #store: ProjectStore
  readonly #signal: AbortSignal
  readonly #turns = new Turns()
  #readBytesLeft: number = SIMILAR.readBytesMax
  #stepsLeft: number = SIMILAR.stepsMax
  isLimited = false

  constructor(store: ProjectStore, signal: AbortSignal) {
    this.#store = store
    this.#signal = signal
  }

  async run(removed: readonly Candidate[], added: readonly Candidate[]): Promise<Rename[]> {
    const named = chooseRenames(await this.#sameNames(removed, added))
    const used = new Set(named.flatMap(({ from, to }) => [from, to]))
    const [went, came] = [removed.filter((one) => !used.has(one)), added.filter((one) => !used.has(one))]
    if (went.length * came.length <= SIMILAR.pairsMax) return [...named, ...chooseRenames(await this.#all(went, came))]
    this.isLimited = true
    return named
  }

  async #sameNames(removed: readonly Candidate[], added: readonly Candidate[]): Promise<Rename[]> {
    const scored: Rename[] = []
    for (const [from, to] of sameNamePairs(removed, added)) {
      const [a, b] = [await this.#spans(from), await this.#spans(to)]
      const percent = a !== null && b !== null ? await this.#compare(a, b) : 0
      if (percent >= SIMILAR.sameNamePercentMin) scored.push({ from, to, percent })
    }
    return scored
  }

  /** Holds the pieces of those that went, and of one that came. */
  async #all(removed: readonly Candidate[], added: readonly Candidate[]): Promise<Rename[]> {
    const scored: Rename[] = []
    const held = await this.#hold(removed.filter((from) => added.some((to) => fits(from, to))))
    for (const to of added) {
      const near = held.filter(({ from }) => fits(from, to))
      const b = near.length === 0 ? null : await this.#spans(to)
      if (b === null) continue
      const ofOne: Rename[] = []
      for (const { from, spans } of near) ofOne.push({ from, to, percent: await this.#compare(spans, b) })
      scored.push(...bestOf(ofOne))
    }
    return scored
  }

  async #hold(removed: readonly Candidate[]): Promise<{ readonly from: Candidate; readonly spans: Spans }[]> {
    const held: { from: Candidate; spans: Spans }[] = []
    let left: number = SIMILAR.spansMax
    for (const from of removed) {
      const spans = await this.#spans(from)
      if (spans === null) continue
      left -= spans.hashes.length
      if (left >= 0) held.push({ from, spans })
      else this.isLimited = true
    }
    return held
  }

  /** Null for what is no text, and when enough was read. */
  async #spans({ entry }: Candidate): Promise<Spans | null> {
    this.#signal.throwIfAborted()
    if (entry.size > this.#readBytesLeft) {
      this.isLimited = true
      return null
    }
    this.#readBytesLeft -= entry.size
    const content = await contentOf(this.#store, entry)
    return isText(content) ? spansOf(content) : null
  }

  async #compare(a: Spans, b: Spans): Promise<number> {
    const steps = a.hashes.length + b.hashes.length
    if (steps > this.#stepsLeft) {
      this.isLimited = true
      return 0
    }
    this.#stepsLeft -= steps
    // A step of a comparison takes a small part of what one of other work does.
    if (this.#turns.isOver(1 + steps / 50)) {
      await this.#turns.pass()
      this.#signal.throwIfAborted()
    }
    return similarity(a, b)
  }
}

const fits = (from: Candidate, to: Candidate): boolean => sizesAllow(from.entry.size, to.entry.size, SIMILAR.percentMin)
