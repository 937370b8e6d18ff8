/** What differs at one path of two trees, in the words of the part of them that is compared. */
import type { ManifestEntry } from '@autovibe/contract'

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

/** The difference of what is at one path; null when it lies outside of the scope, or only its time is new. */
export function differenceAt(before: ManifestEntry | null, after: ManifestEntry | null, scope: DiffScope): EntryDifference | null {
  const path = (after ?? before)?.path
  if (path === undefined || !isInScope(path, scope) || (before !== null && after !== null && sameEntry(before, after))) return null
  return { path: path.slice(scope.within.length), status: statusOf(before, after), before, after }
}

/** The same as git sees it, which knows no folders: one that replaces a file removes it. Null when only folders differ. */
export function filesOnly({ path, before, after }: EntryDifference): EntryDifference | null {
  const old = before?.type === 'directory' ? null : before
  const young = after?.type === 'directory' ? null : after
  return old === null && young === null ? null : { path, status: statusOf(old, young), before: old, after: young }
}

const statusOf = (before: ManifestEntry | null, after: ManifestEntry | null): EntryDifference['status'] =>
  before === null ? 'added' : after === null ? 'removed' : 'changed'

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
