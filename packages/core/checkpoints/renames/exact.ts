/** Renames that change no byte: the same content went at one path and came at another. */
import { baseName, type Candidate, type Rename } from './candidates.ts'

export interface Paired {
  readonly renames: readonly Rename[]
  readonly removed: readonly Candidate[]
  readonly added: readonly Candidate[]
}

interface Group {
  readonly removed: Candidate[]
  readonly added: Candidate[]
}

/** Who keeps its name within its folder comes first, else the first that went becomes the first that came; in time by the number of files. */
export function pairExact(removed: readonly Candidate[], added: readonly Candidate[]): Paired {
  const groups = new Map<string | null, Group>()
  for (const one of removed) {
    const group = groups.get(one.entry.sha256)
    if (group === undefined) groups.set(one.entry.sha256, { removed: [one], added: [] })
    else group.removed.push(one)
  }
  for (const one of added) groups.get(one.entry.sha256)?.added.push(one)
  const renames: Rename[] = []
  for (const group of groups.values()) if (group.added.length > 0) for (const rename of pairGroup(group)) renames.push(rename)
  const used = new Set(renames.flatMap(({ from, to }) => [from, to]))
  return { renames, removed: removed.filter((one) => !used.has(one)), added: added.filter((one) => !used.has(one)) }
}

/** Of one content. */
function* pairGroup(group: Group): Generator<Rename, void> {
  const byName = new Map<string, Candidate[]>()
  for (const from of group.removed.toReversed()) {
    const name = baseName(from.path)
    const same = byName.get(name)
    if (same === undefined) byName.set(name, [from])
    else same.push(from)
  }
  const used = new Set<Candidate>()
  const left: Candidate[] = []
  for (const to of group.added) {
    const from = byName.get(baseName(to.path))?.pop()
    if (from === undefined) {
      left.push(to)
      continue
    }
    used.add(from)
    yield { from, to, percent: 100 }
  }
  const others = group.removed.filter((from) => !used.has(from))
  for (const [index, to] of left.entries()) {
    const from = others[index]
    if (from === undefined) return
    yield { from, to, percent: 100 }
  }
}
