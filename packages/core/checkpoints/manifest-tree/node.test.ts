import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import fc from 'fast-check'
import { anyManifest } from '../manifest.arbitrary.ts'
import { sortKey } from '../manifest.ts'
import { OpenFolders } from './folders.ts'
import { decodeNode, encodeBranch, encodeLeaf, leafItem, leafTotals } from './node.ts'

const itemsOf = (entries: Parameters<typeof leafItem>[1][]) => entries.map((entry) => leafItem(sortKey(entry.path), entry))

test('a leaf comes back from its bytes as it was, and gives the same bytes again', () => {
  fc.assert(
    fc.property(anyManifest, (entries) => {
      const items = itemsOf(entries)
      const bytes = encodeLeaf(items)
      const node = decodeNode(bytes)
      assert.deepEqual(node, { level: 0, items, ...leafTotals(items) })
      assert.deepEqual('items' in node && encodeLeaf(node.items), bytes)
    }),
  )
})

test('a branch comes back from its bytes as it was', () => {
  const child = (path: string, digit: string) => ({ key: path, path, sha256: digit.repeat(64), entries: 3, files: 2, bytes: 7 })
  const children = [child('a', '1'), child('a-b', '2'), child('a/b', '3')]
  assert.deepEqual(decodeNode(encodeBranch(2, children)), { level: 2, children, entries: 9, files: 6, bytes: 21 })
})

test('the bytes of nodes are these, and no others: another program reads them', () => {
  const entry = { path: 'a\n', type: 'file', mode: 420, size: 1, mtime_ms: 2.5, sha256: 'a'.repeat(64), link_target: null } as const
  assert.equal(
    encodeLeaf(itemsOf([entry])).toString(),
    `{"format":"autovibe-manifest","version":2,"level":0}\n{"path":"a\\n","type":"file","mode":420,"size":1,"mtime_ms":2.5,"sha256":"${'a'.repeat(64)}","link_target":null}\n`,
  )
  assert.equal(
    encodeBranch(1, [{ path: 'a', sha256: 'b'.repeat(64), entries: 1, files: 1, bytes: 1 }]).toString(),
    `{"format":"autovibe-manifest","version":2,"level":1}\n{"path":"a","sha256":"${'b'.repeat(64)}","entries":1,"files":1,"bytes":1}\n`,
  )
})

test('any single byte that is changed in a leaf gives another leaf of the same form, or damage', () => {
  const bytes = encodeLeaf(itemsOf([{ path: 'a', type: 'file', mode: 420, size: 1, mtime_ms: 2, sha256: 'a'.repeat(64), link_target: null }]))
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
      const changed = Buffer.from(bytes)
      changed[at] = value
      try {
        const node = decodeNode(changed)
        assert.ok('items' in node && node.items.length <= 1)
      } catch (error) {
        assert.ok(error instanceof AutovibeError && error.code === 'checkpoint.corrupt', String(error))
      }
    }),
    { numRuns: 2_000 },
  )
})

test('members that no entry has, lacks or has with another type are damage', () => {
  const good = { path: 'a', type: 'file', mode: 420, size: 1, mtime_ms: 2, sha256: 'a'.repeat(64), link_target: null }
  const { size: _, ...lacking } = good
  const bad = [
    { ...good, more: 1 },
    lacking,
    { ...good, path: 1 },
    { ...good, type: 'socket' },
    { ...good, mode: '420' },
    { ...good, sha256: 'A'.repeat(64) },
    [],
    1,
    null,
  ]
  const header = '{"format":"autovibe-manifest","version":2,"level":0}\n'
  assert.ok('items' in decodeNode(Buffer.from(`${header}${JSON.stringify(good)}\n`)))
  for (const json of bad)
    assert.throws(() => decodeNode(Buffer.from(`${header}${JSON.stringify(json)}\n`)), { code: 'checkpoint.corrupt' }, JSON.stringify(json))
})

test('an entry is admitted when its directory came before, whatever sorts in between', () => {
  fc.assert(
    fc.property(anyManifest, fc.nat(), (entries, number) => {
      const lost = entries.length === 0 ? null : (entries[number % entries.length] ?? null)
      const folders = new OpenFolders()
      for (const entry of entries) {
        if (entry === lost) continue
        const isBeneath = lost?.type === 'directory' && entry.path.startsWith(`${lost.path}/`)
        assert.equal(folders.admit(entry, sortKey(entry.path)), !isBeneath, entry.path)
      }
    }),
  )
})
