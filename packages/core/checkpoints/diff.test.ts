import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ManifestEntry } from '@autovibe/contract'
import fc from 'fast-check'
import { differenceAt, filesOnly } from './diff.ts'
import { anyManifest } from './manifest.arbitrary.ts'

const EVERYTHING = { within: '', leaveOut: [] }
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
const anyEntry = anyManifest.filter(({ length }) => length > 0).map(([first]) => ({ ...(first as ManifestEntry), path: 'x' }))
const anySide = fc.option(anyEntry)

test('what is there before and after says whether it was added, changed or removed, and the way back says the opposite', () => {
  const turned = { added: 'removed', changed: 'changed', removed: 'added' } as const
  fc.assert(
    fc.property(anySide, anySide, (before, after) => {
      const there = differenceAt(before, after, EVERYTHING)
      const back = differenceAt(after, before, EVERYTHING)
      assert.equal(there === null, back === null)
      if (there === null) return
      assert.equal(there.status, before === null ? 'added' : after === null ? 'removed' : 'changed')
      assert.deepEqual(back, { path: 'x', status: turned[there.status], before: after, after: before })
    }),
  )
})

test('an entry does not differ from itself, nor by its time alone', () => {
  fc.assert(fc.property(anyEntry, (one) => assert.equal(differenceAt(one, { ...one, mtime_ms: one.mtime_ms + 1 }, EVERYTHING), null)))
})

test('mode, type, target and content each make an entry changed', () => {
  const variants: Partial<ManifestEntry>[] = [
    { mode: 0o755 },
    { sha256: 'b'.repeat(64) },
    { type: 'symlink', sha256: null, link_target: 'x' },
    { type: 'directory', sha256: null },
  ]
  for (const more of variants) assert.equal(differenceAt(entry('f'), entry('f', more), EVERYTHING)?.status, 'changed', JSON.stringify(more))
})

test('only the folder asked for is compared, by paths relative to it and without the names left out', () => {
  const after = ['home/x', 'project', 'project/.git', 'project/.git/HEAD', 'project/.gitignore', 'project/a', 'project/sub/.git/HEAD', 'projects/a'].map(
    (path) => entry(path),
  )
  assert.deepEqual(
    after.flatMap((one) => differenceAt(null, one, { within: 'project/', leaveOut: ['.git'] })?.path ?? []),
    ['.gitignore', 'a'],
  )
})

test('a folder is nothing to git, so what takes its place is new and what it replaces is gone', () => {
  const folder = entry('x', { type: 'directory', sha256: null })
  const file = entry('x')
  const seen = (before: ManifestEntry | null, after: ManifestEntry | null) => {
    const difference = differenceAt(before, after, EVERYTHING)
    const { status, ...sides } = (difference && filesOnly(difference)) ?? { status: null, before: null, after: null }
    return [status, sides.before?.type, sides.after?.type]
  }
  assert.deepEqual(seen(folder, file), ['added', undefined, 'file'])
  assert.deepEqual(seen(file, folder), ['removed', 'file', undefined])
  assert.deepEqual(seen(null, folder), [null, undefined, undefined])
  assert.deepEqual(seen(file, entry('x', { type: 'symlink', sha256: null, link_target: 'y' })), ['changed', 'file', 'symlink'])
})
