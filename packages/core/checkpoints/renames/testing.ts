/** Files that went or came, for the tests of renames. */
import type { ManifestEntry } from '@autovibe/contract'
import fc from 'fast-check'
import type { Candidate } from './candidates.ts'

export function fileAt(path: string, more: Partial<ManifestEntry> = {}): Candidate {
  const entry = { path: `project/${path}`, type: 'file', mode: 0o644, size: 10, mtime_ms: 1, sha256: 'a'.repeat(64), link_target: null, ...more } as const
  return { path, entry }
}

const part = fc.constantFrom('a', 'b', 'c', 'index.ts')
const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
const more = fc.record({ sha256: fc.constantFrom('a', 'b', 'c').map((digit) => digit.repeat(64)), size: fc.constantFrom(10, 11, 900) })
/** At paths of their own. */
export const anyFiles = fc.uniqueArray(
  fc.tuple(path, more).map(([at, rest]) => fileAt(at, rest)),
  { selector: (file) => file.path, maxLength: 20 },
)
