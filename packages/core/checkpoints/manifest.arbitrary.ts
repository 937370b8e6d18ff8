/** Random trees for property tests: names that sort differently as text and as bytes, and edits that put files where folders were. */
import type { ManifestEntry } from '@autovibe/contract'
import fc from 'fast-check'
import { applyChanges, type ManifestChange } from './manifest.ts'

const name = fc.constantFrom('a', 'b', 'a-b', 'a.b', 'B', 'é', '\u{1f600}', '\uffee', '\\xff', '\\\\', 'new\nline', ' ')
const folder = fc.array(name, { maxLength: 2 })
const mode = fc.constantFrom(0o644, 0o755, 0o600)
const time = fc.oneof(fc.integer({ min: 0, max: 2e12 }), fc.double({ noNaN: true, noDefaultInfinity: true, min: 0, max: 2e12 }))
const sha256 = fc.integer({ min: 0, max: 4 }).map((digit) => String(digit).repeat(64))

const body = fc.oneof(
  fc.record({ type: fc.constant('file' as const), size: fc.nat(9), sha256, link_target: fc.constant(null) }),
  fc.record({ type: fc.constant('directory' as const), size: fc.constant(0), sha256: fc.constant(null), link_target: fc.constant(null) }),
  fc.record({ type: fc.constant('symlink' as const), size: fc.constant(1), sha256: fc.constant(null), link_target: fc.constantFrom('a', 'b') }),
)

/** One edit: its folders are put first, so that it is possible in every tree. */
const edit: fc.Arbitrary<ManifestChange[]> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(folder, name, mode, time, body)
      .map(([names, last, bits, mtimeMs, rest]) => [...folders(names), put([...names, last].join('/'), bits, mtimeMs, rest)]),
  },
  { weight: 1, arbitrary: fc.tuple(folder, name).map(([names, last]) => [{ kind: 'remove' as const, path: [...names, last].join('/') }]) },
)

export const anyChanges: fc.Arbitrary<ManifestChange[]> = fc.array(edit, { maxLength: 30 }).map((edits) => edits.flat())
export const anyManifest: fc.Arbitrary<ManifestEntry[]> = anyChanges.map((changes) => applyChanges([], changes))

function folders(names: readonly string[]): ManifestChange[] {
  return names.map((_, index) => put(names.slice(0, index + 1).join('/'), 0o755, 0, { type: 'directory', size: 0, sha256: null, link_target: null }))
}

function put(path: string, bits: number, mtimeMs: number, rest: Pick<ManifestEntry, 'type' | 'size' | 'sha256' | 'link_target'>): ManifestChange {
  return { kind: 'put', entry: { path, type: rest.type, mode: bits, size: rest.size, mtime_ms: mtimeMs, sha256: rest.sha256, link_target: rest.link_target } }
}
