import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ManifestEntry } from '@autovibe/contract'
import { applyChanges, sortKey } from '@autovibe/core/checkpoints/manifest.ts'
import fc from 'fast-check'
import { diffTrees, type EntryPair } from './diff-trees.ts'
import { nodesOf } from './nodes-of.ts'
import { findEntry, readEntries } from './read-entries.ts'
import { changesUpTo, collect, directoryAt, fileAt, Nodes, putOf } from './testing.ts'
import { writeChanges } from './write-changes.ts'

/** 200 directories of 99 files. */
const LARGE = Array.from({ length: 200 }, (_, folder) => [
  directoryAt(`d${folder}`),
  ...Array.from({ length: 99 }, (_, index) => fileAt(`d${folder}/file-${index}.ts`)),
]).flat()

function differences(before: readonly ManifestEntry[], after: readonly ManifestEntry[]): EntryPair[] {
  const old = new Map(before.map((entry) => [sortKey(entry.path), entry]))
  const young = new Map(after.map((entry) => [sortKey(entry.path), entry]))
  const keys = [...new Set([...old.keys(), ...young.keys()])].sort()
  const pairs = keys.map((key) => ({ before: old.get(key) ?? null, after: young.get(key) ?? null }))
  return pairs.filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after))
}

test('the difference of two trees is that of their entries, in the order of the paths', async () => {
  await fc.assert(
    fc.asyncProperty(changesUpTo(200), changesUpTo(12), changesUpTo(60), async (first, few, others) => {
      const nodes = new Nodes()
      const model = applyChanges([], first)
      const root = await nodes.build(model)
      for (const [base, changes] of [
        [model, few],
        [[], others],
      ] as const) {
        const next = applyChanges(base, changes)
        const after = await nodes.build(next)
        assert.deepEqual(await collect(diffTrees(root, after, nodes.read)), differences(model, next))
        assert.deepEqual(await collect(diffTrees(after, root, nodes.read)), differences(next, model))
      }
      assert.deepEqual(await collect(diffTrees(null, root, nodes.read)), differences([], model))
    }),
    { numRuns: 100 },
  )
})

test('equal trees are compared without a look, and a small difference with a few', async () => {
  const nodes = new Nodes()
  const root = await nodes.build(LARGE)
  nodes.asked.length = 0
  assert.deepEqual(await collect(diffTrees(root, root, nodes.read)), [])
  assert.deepEqual(nodes.asked, [])
  const changed = [fileAt('d7/file-7.ts', { mtime_ms: 2 }), fileAt('d150/new.ts')]
  const { root: after } = await writeChanges(root, changed.map(putOf), nodes.read, nodes.write)
  nodes.asked.length = 0
  const found = await collect(diffTrees(root, after, nodes.read))
  assert.deepEqual(
    found.map((pair) => pair.after),
    [changed[1], changed[0]],
  )
  assert.ok(nodes.asked.length < 30, `${nodes.asked.length} reads`)
})

test('a single entry is found, and what is beneath a directory, as in the whole', async () => {
  await fc.assert(
    fc.asyncProperty(changesUpTo(120), changesUpTo(5), async (changes, others) => {
      const nodes = new Nodes()
      const model = applyChanges([], changes)
      const root = await nodes.build(model)
      const places = [...model, ...applyChanges([], others)].map(({ path }) => path)
      for (const path of places) {
        const expected = model.find((entry) => entry.path === path) ?? null
        assert.deepEqual(await findEntry(root, path, nodes.read), expected)
        const beneath = model.filter((entry) => entry.path.startsWith(`${path}/`))
        assert.deepEqual(await collect(readEntries(root, nodes.read, { under: path })), beneath)
      }
    }),
    { numRuns: 60 },
  )
})

test('one entry takes one read a level, and one directory only the nodes around it', async () => {
  const nodes = new Nodes()
  const root = await nodes.build(LARGE)
  nodes.asked.length = 0
  assert.deepEqual(await findEntry(root, 'd77/file-9.ts', nodes.read), fileAt('d77/file-9.ts'))
  assert.ok(nodes.asked.length <= 4, `${nodes.asked.length} reads`)
  nodes.asked.length = 0
  assert.equal((await collect(readEntries(root, nodes.read, { under: 'd77' }))).length, 99)
  assert.ok(nodes.asked.length <= 24, `${nodes.asked.length} reads`)
})

test('a path that no tree can hold is nowhere', async () => {
  const nodes = new Nodes()
  const root = await nodes.build([directoryAt('a'), fileAt('a/b')])
  for (const path of ['', '/', '../a', 'a/', 'a\\b', '\ud800', 'a\0']) {
    assert.equal(await findEntry(root, path, nodes.read), null)
    assert.deepEqual(await collect(readEntries(root, nodes.read, { under: path })), [])
  }
})

test('the nodes of a tree are exactly those that it was written as, with the contents of all files', async () => {
  await fc.assert(
    fc.asyncProperty(changesUpTo(200), async (changes) => {
      const nodes = new Nodes()
      const model = applyChanges([], changes)
      const found = await collect(nodesOf(await nodes.build(model), nodes.read))
      assert.deepEqual(found.map(({ sha256 }) => sha256).sort(), [...nodes.kept.keys()].sort())
      const files = model.filter(({ type }) => type === 'file').map(({ path, sha256, size }) => ({ path, sha256, size }))
      assert.deepEqual(
        found.flatMap(({ contents }) => contents),
        files,
      )
    }),
    { numRuns: 60 },
  )
})

test('what a known tree holds too is passed over unread', async () => {
  const nodes = new Nodes()
  const root = await nodes.build(LARGE)
  const known = new Set((await collect(nodesOf(root, nodes.read))).map(({ sha256 }) => sha256))
  const { root: after } = await writeChanges(root, [putOf(fileAt('d7/file-7.ts', { sha256: 'b'.repeat(64) }))], nodes.read, nodes.write)
  nodes.asked.length = 0
  const found = await collect(nodesOf(after, nodes.read, (sha256) => known.has(sha256)))
  assert.deepEqual(found.map(({ sha256 }) => sha256).sort(), nodes.asked.toSorted())
  assert.ok(found.length <= 4)
  assert.ok(found.flatMap(({ contents }) => contents).some(({ sha256, path }) => sha256 === 'b'.repeat(64) && path === 'd7/file-7.ts'))
  assert.deepEqual(await collect(nodesOf(root, nodes.read, (sha256) => known.has(sha256))), [])
})

test('entries are read as they are asked for, not all at once', async () => {
  const nodes = new Nodes()
  const root = await nodes.build(LARGE)
  nodes.asked.length = 0
  for await (const entry of readEntries(root, nodes.read)) if (entry.path.startsWith('d1/')) break
  assert.ok(nodes.asked.length < 40, `${nodes.asked.length} reads`)
})
