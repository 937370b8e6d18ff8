import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ManifestEntry } from '@autovibe/contract'
import fc from 'fast-check'
import { diffManifests, type EntryDifference } from './diff.ts'
import { anyManifest } from './manifest.arbitrary.ts'
import { applyChanges, type ManifestChange, sortKey } from './manifest.ts'

const entry = (path: string, more: Partial<ManifestEntry> = {}): ManifestEntry => ({
  path,
  type: 'file',
  mode: 0o644,
  size: 1,
  mtime_ms: 1,
  sha256: 'a'.repeat(64),
  link_target: null,
  ...more,
})
const asChanges = (differences: readonly EntryDifference[]): ManifestChange[] => [
  ...differences.filter(({ after }) => after === null).map(({ path }): ManifestChange => ({ kind: 'remove', path })),
  ...differences.flatMap(({ after }): ManifestChange[] => (after === null ? [] : [{ kind: 'put', entry: after }])),
]
const withoutTimes = (entries: readonly ManifestEntry[]): ManifestEntry[] => entries.map((one) => ({ ...one, mtime_ms: 0 }))

test('the differences, applied to the one tree, make the other', () => {
  fc.assert(
    fc.property(anyManifest, anyManifest, (a, b) => {
      assert.deepEqual(withoutTimes(applyChanges(a, asChanges(diffManifests(a, b)))), withoutTimes(b))
    }),
  )
})

test('the way back is the same list with its sides exchanged', () => {
  const turned = { added: 'removed', changed: 'changed', removed: 'added' } as const
  fc.assert(
    fc.property(anyManifest, anyManifest, (a, b) => {
      const back = diffManifests(b, a).map(({ path, status, before, after }) => ({ path, status: turned[status], before: after, after: before }))
      assert.deepEqual(diffManifests(a, b), back)
    }),
  )
})

test('the differences are sorted by the bytes of their paths and name none twice', () => {
  fc.assert(
    fc.property(anyManifest, anyManifest, (a, b) => {
      const keys = diffManifests(a, b).map(({ path }) => sortKey(path))
      assert.deepEqual(keys, [...new Set(keys)].sort())
    }),
  )
})

test('a tree does not differ from itself, nor by times alone', () => {
  fc.assert(fc.property(anyManifest, (a) => assert.deepEqual(diffManifests(a, withoutTimes(a)), [])))
})

test('mode, type, target and content each make an entry changed', () => {
  const variants: Partial<ManifestEntry>[] = [
    { mode: 0o755 },
    { sha256: 'b'.repeat(64) },
    { type: 'symlink', sha256: null, link_target: 'x' },
    { type: 'directory', sha256: null },
  ]
  for (const more of variants)
    assert.deepEqual(
      diffManifests([entry('f')], [entry('f', more)]).map(({ status }) => status),
      ['changed'],
      JSON.stringify(more),
    )
})

test('only the folder asked for is compared, by paths relative to it and without the names left out', () => {
  const after = ['home/x', 'project', 'project/.git', 'project/.git/HEAD', 'project/.gitignore', 'project/a', 'project/sub/.git/HEAD', 'projects/a'].map(
    (path) => entry(path),
  )
  assert.deepEqual(
    diffManifests([], after, { within: 'project/', leaveOut: ['.git'] }).map(({ path }) => path),
    ['.gitignore', 'a'],
  )
})
