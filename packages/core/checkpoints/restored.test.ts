import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ManifestEntry } from '@autovibe/contract'
import fc from 'fast-check'
import { differenceFrom, fileTime, NOTHING, roomProblem, withEntry } from './restored.ts'

const GIB = 1024 ** 3
const file: ManifestEntry = { path: 'a', type: 'file', mode: 0o644, size: 3, mtime_ms: 5, sha256: 'a'.repeat(64), link_target: null }
const link: ManifestEntry = { path: 'l', type: 'symlink', mode: 0o777, size: 1, mtime_ms: 5, sha256: null, link_target: 'x' }
const folder: ManifestEntry = { path: 'd', type: 'directory', mode: 0o755, size: 0, mtime_ms: 5, sha256: null, link_target: null }

test('each thing that a manifest says of an entry is compared', () => {
  for (const entry of [file, link, folder]) assert.equal(differenceFrom(entry, entry), null)
  assert.equal(differenceFrom(file, null), 'is missing')
  assert.equal(differenceFrom(file, { ...folder, mtime_ms: 5 }), 'is directory, not file')
  assert.equal(differenceFrom(file, { ...file, type: 'other' }), 'is other, not file')
  assert.equal(differenceFrom(file, { ...file, mode: 0o4644 }), 'has the mode 4644, not 644')
  assert.equal(differenceFrom(folder, { ...folder, mode: 0o700 }), 'has the mode 700, not 755')
  assert.equal(differenceFrom(file, { ...file, mtime_ms: 6 }), 'has the time 6, not 5')
  assert.equal(differenceFrom(folder, { ...folder, mtime_ms: 4 }), 'has the time 4, not 5')
  assert.equal(differenceFrom(file, { ...file, size: 4 }), 'has 4 bytes, not 3')
  assert.equal(differenceFrom(file, { ...file, sha256: 'b'.repeat(64) }), 'has another content')
  assert.equal(differenceFrom(link, { ...link, link_target: 'y' }), 'leads elsewhere')
})

test('what no file system keeps is no difference: the mode of a link, the size of a folder, less than a millisecond', () => {
  assert.equal(differenceFrom(link, { ...link, mode: 0o755 }), null)
  assert.equal(differenceFrom(folder, { ...folder, size: 4096 }), null)
  assert.equal(differenceFrom({ ...file, mtime_ms: 5.9 }, { ...file, mtime_ms: 5 }), null)
})

test('a time between 1837 and 2103 survives being told as a fraction of seconds', () => {
  fc.assert(
    fc.property(fc.integer({ min: -4_200_000_000_000, max: 4_200_000_000_000 }), (mtimeMs) => {
      const text = fileTime(mtimeMs)
      assert.equal(Math.trunc(Number(text) * 1e6) / 1000, mtimeMs)
    }),
  )
  assert.equal(Number(fileTime(0)), 0)
})

test('a tree has room when the disk keeps what the host needs itself', () => {
  const tree = [file, link, folder, { ...file, size: 4097 }].reduce(withEntry, NOTHING)
  assert.deepEqual(tree, { entries: 4, files: 2, bytes: 4100, diskBytes: 5 * 4096 })
  const room = { totalBytes: 100 * GIB, freeBytes: GIB + 5 * 4096, freeFiles: null }
  assert.equal(roomProblem(tree, room), null)
  assert.equal(roomProblem(tree, { ...room, freeBytes: room.freeBytes - 1 }), '1 bytes')
  assert.equal(roomProblem(tree, { ...room, freeFiles: 10_004 }), null)
  assert.equal(roomProblem(tree, { ...room, freeFiles: 10_003 }), '1 files')
})
