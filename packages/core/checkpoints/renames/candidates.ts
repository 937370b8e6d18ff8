/** The files that went and those that came, of which some may be the same under a new name: held while there are not too many. */
import type { ManifestEntry } from '@autovibe/contract'
import type { EntryDifference } from '../diff.ts'

export const CANDIDATES_MAX = {
  /** On each side. */
  files: 50_000,
  /** Of all their paths: a path may take 16 KiB as it is spelled. */
  textChars: 16 * 1024 * 1024,
} as const

/** A file with its path as the difference spells it. */
export interface Candidate {
  readonly path: string
  readonly entry: ManifestEntry
}

export interface Rename {
  readonly from: Candidate
  readonly to: Candidate
  /** How much of the larger one both have, in percent; 100 for the same content. */
  readonly percent: number
}

export class Candidates {
  removed: Candidate[] = []
  added: Candidate[] = []
  #textChars = 0
  #isOver = false

  /** Whether there were more than may be held: then none is, and nothing counts as renamed. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** An empty file says nothing about where it came from; and a link that moves beneath its own old path is a rename that git writes but does not apply. */
  offer({ path, before, after }: EntryDifference): void {
    const entry = before ?? after
    if (this.#isOver || entry === null || (before !== null && after !== null) || entry.type !== 'file' || entry.size === 0) return
    const side = before === null ? this.added : this.removed
    this.#textChars += path.length + entry.path.length
    if (side.length < CANDIDATES_MAX.files && this.#textChars <= CANDIDATES_MAX.textChars) side.push({ path, entry })
    else {
      this.#isOver = true
      this.removed = []
      this.added = []
    }
  }
}

export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
