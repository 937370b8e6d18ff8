/** Renames that change no byte: the same content went at one path and came at another. */
import { baseName, type Candidate, type Rename } from './candidates.ts'

export interface Paired {
  readonly renames: readonly Rename[]
  readonly removed: readonly Candidate[]
  readonly added: readonly Candidate[]
}

/** Who keeps its name within its folder comes first, else the first that went becomes the first that came; in time by the number of files. */
export function pairExact(removed: readonly Candidate[], added: readonly Candidate[]): Paired {
  const renames: Rename[] = []
  let left = { removed, added }
  for (const keyOf of [(one: Candidate) => `${contentKey(one)}/${baseName(one.path)}`, contentKey]) {
    const waiting = new Map<string, Candidate[]>()
    for (const one of left.removed.toReversed()) {
      const same = waiting.get(keyOf(one))
      if (same === undefined) waiting.set(keyOf(one), [one])
      else same.push(one)
    }
    const used = new Set<Candidate>()
    for (const to of left.added) {
      const from = waiting.get(keyOf(to))?.pop()
      if (from === undefined) continue
      renames.push({ from, to, percent: 100 })
      used.add(from).add(to)
    }
    left = { removed: left.removed.filter((one) => !used.has(one)), added: left.added.filter((one) => !used.has(one)) }
  }
  return { renames, ...left }
}

const contentKey = ({ entry }: Candidate): string => entry.sha256 ?? ''
