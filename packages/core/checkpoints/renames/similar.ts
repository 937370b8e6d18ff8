/** Renames that also change the text: which files are compared at all, and which of those that are alike belong together. */
import { baseName, type Candidate, type Rename } from './candidates.ts'

export const SIMILAR = {
  /** As git's -M50%. */
  percentMin: 50,
  /** For two that alone bear their name, so that they are compared before all others (git: the same). */
  sameNamePercentMin: 75,
  fileBytesMax: 512 * 1024,
  /** Each that went with each that came; git's own diff.renameLimit is the square root of it. */
  pairsMax: 1_000_000,
  /** What one diff reads, compares and holds for it. */
  readBytesMax: 64 * 1024 * 1024,
  stepsMax: 100_000_000,
  spansMax: 2_000_000,
} as const

/** A file that came is remembered with so many that it may have been. */
const BEST_PER_FILE = 4

export type Pair = readonly [from: Candidate, to: Candidate]

export const mayBeSimilar = ({ entry }: Candidate): boolean => entry.type === 'file' && entry.size > 0 && entry.size <= SIMILAR.fileBytesMax

/** Whether two of these sizes can have so much in common. */
export const sizesAllow = (a: number, b: number, percentMin: number): boolean => Math.min(a, b) * 100 >= Math.max(a, b) * percentMin

/** The pairs in which both are the only ones of their name on their side. */
export function sameNamePairs(removed: readonly Candidate[], added: readonly Candidate[]): Pair[] {
  const went = onlyOnes(removed)
  const came = onlyOnes(added)
  const pairs: Pair[] = []
  for (const [name, from] of went) {
    const to = came.get(name)
    if (from !== null && to !== null && to !== undefined && sizesAllow(from.entry.size, to.entry.size, SIMILAR.sameNamePercentMin)) pairs.push([from, to])
  }
  return pairs
}

/** Null for a name that several bear. */
function onlyOnes(files: readonly Candidate[]): Map<string, Candidate | null> {
  const byName = new Map<string, Candidate | null>()
  for (const file of files) {
    const name = baseName(file.path)
    byName.set(name, byName.has(name) ? null : file)
  }
  return byName
}

/** The few best of one file that came, the best first; what is not alike enough is left out. */
export function bestOf(scored: readonly Rename[]): Rename[] {
  return scored
    .filter(({ percent }) => percent >= SIMILAR.percentMin)
    .sort(byLikeness)
    .slice(0, BEST_PER_FILE)
}

/** The most alike belong together, then the most alike of what is left; each file at most once. */
export function chooseRenames(scored: readonly Rename[]): Rename[] {
  const used = new Set<Candidate>()
  const chosen: Rename[] = []
  for (const rename of [...scored].sort(byLikeness)) {
    if (used.has(rename.from) || used.has(rename.to)) continue
    used.add(rename.from).add(rename.to)
    chosen.push(rename)
  }
  return chosen
}

/** Then who keeps its name; then, as sorting is stable, who came first. */
const byLikeness = (a: Rename, b: Rename): number => b.percent - a.percent || Number(keepsName(b)) - Number(keepsName(a))
const keepsName = ({ from, to }: Rename): boolean => baseName(from.path) === baseName(to.path)
