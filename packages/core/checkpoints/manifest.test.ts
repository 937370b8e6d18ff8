import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError, type ManifestEntry } from '@autovibe/contract'
import fc from 'fast-check'
import { anyChanges, anyManifest } from './manifest.arbitrary.ts'
import { applyChanges, manifestTotals, pathProblem, quotePath } from './manifest.ts'
import { decodePath } from './paths.ts'

const file = (path: string, more: Partial<ManifestEntry> = {}): ManifestEntry => ({
  path,
  type: 'file',
  mode: 0o644,
  size: 3,
  mtime_ms: 1,
  sha256: 'a'.repeat(64),
  link_target: null,
  ...more,
})
const directory = (path: string): ManifestEntry => file(path, { type: 'directory', mode: 0o755, size: 0, sha256: null })
const withCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof AutovibeError && error.code === code
const withReason =
  (reason: RegExp) =>
  (error: unknown): boolean =>
    error instanceof AutovibeError && error.code === 'substrate.failed' && reason.test(error.message)

test('equal trees are the same manifest, however they came about', () => {
  fc.assert(
    fc.property(anyManifest, (entries) => {
      const again = applyChanges(
        [],
        entries
          .toReversed()
          .toSorted((a, b) => a.path.split('/').length - b.path.split('/').length)
          .map((entry) => ({ kind: 'put', entry })),
      )
      assert.deepEqual(again, entries)
    }),
  )
})

test('the entries are sorted by the bytes of their paths', () => {
  fc.assert(
    fc.property(anyManifest, (entries) => {
      for (const [index, entry] of entries.entries()) {
        const previous = entries[index - 1]
        if (previous !== undefined) assert.equal(Buffer.compare(decodePath(previous.path), decodePath(entry.path)), -1)
      }
    }),
  )
})

test('changes in steps lead where all of them at once lead, and both follow the plain rules', () => {
  fc.assert(
    fc.property(anyChanges, fc.nat(), (changes, cut) => {
      const half = cut % (changes.length + 1)
      const model = new Map<string, ManifestEntry>()
      const dropBeneath = (path: string): void => {
        for (const known of [...model.keys()]) if (known.startsWith(`${path}/`)) model.delete(known)
      }
      for (const change of changes) {
        const path = change.kind === 'put' ? change.entry.path : change.path
        if (change.kind === 'remove' || change.entry.type !== 'directory') dropBeneath(path)
        if (change.kind === 'put') model.set(path, change.entry)
        else model.delete(path)
      }
      const once = applyChanges([], changes)
      assert.deepEqual(new Map(once.map((entry) => [entry.path, entry])), model)
      assert.deepEqual(applyChanges(applyChanges([], changes.slice(0, half)), changes.slice(half)), once)
    }),
  )
})

test('totals count files, folders and links apart, and the bytes of files alone', () => {
  const link = file('d/l', { type: 'symlink', sha256: null, link_target: 'x' })
  assert.deepEqual(manifestTotals([directory('d'), file('d/a'), file('d/b', { size: 4 }), link]), { files: 2, directories: 1, symlinks: 1, bytes: 7 })
})

const HOSTILE: [string, RegExp][] = [
  ['', /empty/],
  ['/etc/passwd', /empty part/],
  ['a//b', /empty part/],
  ['a/', /empty part/],
  ['.', /part \./],
  ['a/./b', /part \./],
  ['../x', /part \.\./],
  ['a/../../x', /part \.\./],
  ['a\0b', /NUL/],
  ['a\\x00', /canonical/],
  ['\\x61', /canonical/],
  ['a\\x2fb', /canonical/],
  ['\\', /canonical/],
  ['\ud800', /canonical/],
  ['n'.repeat(256), /longer than 255/],
  [`${'é'.repeat(128)}`, /longer than 255/],
  ['d/'.repeat(2048), /longer than 4095/],
  ['x'.repeat(1_000_000), /longer than 4095/],
]
for (const [path, reason] of HOSTILE) {
  test(`the path ${quotePath(path).slice(0, 40)} is refused with its reason`, () => {
    assert.match(pathProblem(path) ?? '', reason)
    assert.throws(() => applyChanges([], [{ kind: 'put', entry: file(path) }]), withReason(reason))
    assert.throws(() => applyChanges([], [{ kind: 'remove', path }]), withReason(reason))
  })
}

test('an entry cannot lie in a link, in a file or in nothing', () => {
  const link = file('l', { type: 'symlink', sha256: null, link_target: '/etc' })
  for (const parent of [[link], [file('l')], []]) {
    assert.throws(() => applyChanges(parent, [{ kind: 'put', entry: file('l/passwd') }]), withReason(/no directory of the tree/))
  }
})

test('entries with impossible values are refused', () => {
  const bad: Partial<ManifestEntry>[] = [
    { mode: 0o10000 },
    { mode: -1 },
    { mode: 0.5 },
    { size: -1 },
    { size: 2 ** 60 },
    { size: 2 ** 40 },
    { mtime_ms: Number.NaN },
    { sha256: null },
    { link_target: 'x' },
    { type: 'symlink', sha256: null },
    { type: 'symlink', sha256: null, link_target: '' },
    { type: 'symlink', sha256: null, link_target: 'a\0b' },
    { type: 'symlink', link_target: 'x' },
    { type: 'symlink', sha256: null, link_target: 'x'.repeat(5000) },
    { type: 'directory' },
    { type: 'socket' as never, sha256: null },
  ]
  for (const more of bad) assert.throws(() => applyChanges([], [{ kind: 'put', entry: file('x', more) }]), withCode('substrate.failed'), JSON.stringify(more))
})

test('a path in a message steers no terminal', () => {
  assert.equal(quotePath('a\u001b[2J\u009b\u202ex'), '"a\\u001b[2J\\u009b\\u202ex"')
})
