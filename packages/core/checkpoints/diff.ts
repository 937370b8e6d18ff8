/** What differs between two manifests, entry by entry. */
import type { ManifestEntry } from '@autovibe/contract'
import { sortKey } from './manifest.ts'

export interface EntryDifference {
  /** Relative to the folder that the comparison was limited to. */
  readonly path: string
  readonly status: 'added' | 'changed' | 'removed'
  readonly before: ManifestEntry | null
  readonly after: ManifestEntry | null
}

export interface DiffScope {
  /** Only what lies in this folder, which ends with a slash; the empty text: everything. */
  readonly within: string
  /** Entries with one of these names, and everything beneath them, are left out. */
  readonly leaveOut: readonly string[]
}

const EVERYTHING: DiffScope = { within: '', leaveOut: [] }

/** The difference of what is at one path, in the scope's words; null when it lies outside of it, or only its time is new. */
export function differenceAt(before: ManifestEntry | null, after: ManifestEntry | null, scope: DiffScope): EntryDifference | null {
  const path = (after ?? before)?.path
  if (path === undefined || !isInScope(path, scope) || (before !== null && after !== null && sameEntry(before, after))) return null
  return { path: path.slice(scope.within.length), status: before === null ? 'added' : after === null ? 'removed' : 'changed', before, after }
}

/** The differences of two sorted manifests, sorted by path; a new time alone is none. */
export function diffManifests(before: readonly ManifestEntry[], after: readonly ManifestEntry[], scope: DiffScope = EVERYTHING): EntryDifference[] {
  const differences: EntryDifference[] = []
  const older = inScope(before, scope)
  const newer = inScope(after, scope)
  let left = older.next()
  let right = newer.next()
  while (!left.done || !right.done) {
    const order = left.done ? 1 : right.done ? -1 : left.value.key < right.value.key ? -1 : left.value.key > right.value.key ? 1 : 0
    const old = order <= 0 && !left.done ? left.value.entry : null
    const young = order >= 0 && !right.done ? right.value.entry : null
    if (old === null || young === null || !sameEntry(old, young)) {
      const path = ((old ?? young) as ManifestEntry).path.slice(scope.within.length)
      differences.push({ path, status: old === null ? 'added' : young === null ? 'removed' : 'changed', before: old, after: young })
    }
    if (order <= 0) left = older.next()
    if (order >= 0) right = newer.next()
  }
  return differences
}

function* inScope(entries: readonly ManifestEntry[], scope: DiffScope): Generator<{ key: string; entry: ManifestEntry }, undefined> {
  for (const entry of entries) {
    if (isInScope(entry.path, scope)) yield { key: sortKey(entry.path), entry }
  }
  return undefined
}

function isInScope(path: string, { within, leaveOut }: DiffScope): boolean {
  if (!path.startsWith(within)) return false
  return (
    leaveOut.length === 0 ||
    !path
      .slice(within.length)
      .split('/')
      .some((name) => leaveOut.includes(name))
  )
}

const sameEntry = (a: ManifestEntry, b: ManifestEntry): boolean =>
  a.type === b.type && a.mode === b.mode && a.sha256 === b.sha256 && a.link_target === b.link_target && a.size === b.size
