import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError, type ManifestEntry } from '@autovibe/contract'
import { applyChanges, type ManifestChange, manifestTotals } from '@autovibe/core/checkpoints/manifest.ts'
import { decodeNode, isLeaf } from '@autovibe/core/checkpoints/manifest-tree/node.ts'
import fc from 'fast-check'
import { readEntries } from './read-entries.ts'
import { changesUpTo, collect, directoryAt, fileAt, Nodes, namesOfRank, putOf, removeOf, wildChanges } from './testing.ts'
import { writeChanges } from './write-changes.ts'

/** Applies the changes to both and compares all that can be seen of the result. */
async function step(nodes: Nodes, root: string | null, model: readonly ManifestEntry[], changes: readonly ManifestChange[]) {
  const expected = applyChanges(model, changes)
  const written = await writeChanges(root, changes, nodes.read, nodes.write)
  assert.deepEqual(await collect(readEntries(written.root, nodes.read)), expected)
  const { files, bytes } = manifestTotals(expected)
  assert.deepEqual(written, { root: await new Nodes().build(expected), entries: expected.length, files, bytes })
  return { root: written.root, model: expected }
}

test('changes lead to the entries of the model, and to the root of the same tree built from nothing', async () => {
  await fc.assert(
    fc.asyncProperty(changesUpTo(250), fc.array(changesUpTo(12), { minLength: 1, maxLength: 4 }), async (first, rounds) => {
      const nodes = new Nodes()
      let at = await step(nodes, null, [], first)
      for (const changes of rounds) at = await step(nodes, at.root, at.model, changes)
    }),
    { numRuns: 150 },
  )
})

test('whatever is removed from a tall tree, what is left has the root of itself', async () => {
  const names = namesOfRank('n', 300, (rank) => rank >= 1).concat(
    namesOfRank('n', 100, (rank) => rank === 0),
    namesOfRank('n', 60, (rank) => rank >= 2),
  )
  const entries = applyChanges(
    [],
    [...new Set(names)].map((name) => putOf(fileAt(name))),
  )
  await fc.assert(
    fc.asyncProperty(fc.nat(entries.length - 1), fc.nat(entries.length - 1), fc.array(fc.constantFrom(...entries), { maxLength: 4 }), async (a, b, back) => {
      const nodes = new Nodes()
      const gone = entries.slice(Math.min(a, b), Math.max(a, b)).map(({ path }) => removeOf(path))
      await step(nodes, await nodes.build(entries), entries, [...gone, ...back.map(putOf)])
    }),
    { numRuns: 100 },
  )
})

test('a branch that is left alone with one node gives way to that node', async () => {
  const plain = (prefix: string) => namesOfRank(prefix, 10, (rank) => rank === 0)
  const before = [...plain('p'), ...namesOfRank('q', 1, (rank) => rank === 1), ...plain('r')]
  const after = [...namesOfRank('s', 1, (rank) => rank === 2), ...plain('t')]
  const nodes = new Nodes()
  const at = await step(
    nodes,
    null,
    [],
    [...before, ...after].map((path) => putOf(fileAt(path))),
  )
  assert.equal(decodeNode(nodes.kept.get(at.root) ?? Buffer.alloc(0)).level, 2)
  await step(nodes, at.root, at.model, before.map(removeOf))
})

test('what the model refuses is refused in the same words, and all else is done', async () => {
  await fc.assert(
    fc.asyncProperty(changesUpTo(60), wildChanges, async (first, changes) => {
      const nodes = new Nodes()
      const model = applyChanges([], first)
      const { root } = await writeChanges(null, first, nodes.read, nodes.write)
      let refusal: string | null = null
      try {
        applyChanges(model, changes)
      } catch (error) {
        assert.ok(error instanceof AutovibeError)
        refusal = error.message
      }
      if (refusal === null) await step(nodes, root, model, changes)
      else await assert.rejects(writeChanges(root, changes, nodes.read, nodes.write), { code: 'substrate.failed', message: refusal })
    }),
    { numRuns: 200 },
  )
})

test('a directory that is replaced by a file takes everything beneath with it, neighbours that sort in between stay', async () => {
  const nodes = new Nodes()
  const inside = Array.from({ length: 500 }, (_, index) => fileAt(`a/${index}`))
  const between = Array.from({ length: 100 }, (_, index) => fileAt(`a-${index}`))
  const after = Array.from({ length: 100 }, (_, index) => fileAt(`a0${index}`))
  let at = await step(nodes, null, [], [directoryAt('a'), ...inside, ...between, ...after].map(putOf))
  at = await step(nodes, at.root, at.model, [putOf(fileAt('a'))])
  assert.equal(at.model.length, 201)
  at = await step(nodes, at.root, at.model, [putOf(directoryAt('a')), putOf(fileAt('a/1'))])
  at = await step(nodes, at.root, at.model, [removeOf('a'), putOf(directoryAt('a')), putOf(directoryAt('a/b')), putOf(fileAt('a/b/c'))])
  await assert.rejects(writeChanges(at.root, [removeOf('a'), putOf(directoryAt('a')), putOf(fileAt('a/b/c'))], nodes.read, nodes.write), {
    code: 'substrate.failed',
  })
  await step(nodes, at.root, at.model, [removeOf('a'), removeOf('not/there'), removeOf('a0')])
})

test('what was beneath a removed directory is no place to put anything, even when directories above it are back', async () => {
  const nodes = new Nodes()
  const root = await nodes.build(['a', 'a/b', 'a/b/c', 'a/b/c/d'].map(directoryAt))
  const back = [removeOf('a'), putOf(directoryAt('a')), putOf(directoryAt('a/b'))]
  for (const path of ['a/b/c/x', 'a/b/c/d/x']) {
    await assert.rejects(writeChanges(root, [...back, putOf(fileAt(path))], nodes.read, nodes.write), { code: 'substrate.failed' })
  }
})

test('a removed directory is gone to its end, though one inside it was put anew as a file', async () => {
  const nodes = new Nodes()
  const between = Array.from({ length: 300 }, (_, index) => fileAt(`d/a-${index}`))
  const inside = Array.from({ length: 300 }, (_, index) => fileAt(`d/a/${index}`))
  const at = await step(nodes, null, [], [directoryAt('d'), directoryAt('d/a'), ...between, ...inside, fileAt('e')].map(putOf))
  await step(nodes, at.root, at.model, [removeOf('d'), putOf(directoryAt('d')), putOf(fileAt('d/a')), putOf(fileAt('d/a-7'))])
})

test('a large directory goes without a look into the nodes that lie wholly inside', async () => {
  const nodes = new Nodes()
  const entries = [directoryAt('d'), ...Array.from({ length: 20_000 }, (_, index) => fileAt(`d/${index}`)), fileAt('e')]
  const root = await nodes.build(entries)
  nodes.asked.length = 0
  const written = await writeChanges(root, [removeOf('d')], nodes.read, nodes.write)
  assert.equal(written.root, await new Nodes().build([fileAt('e')]))
  assert.ok(nodes.asked.length < 20, `${nodes.asked.length} reads`)
})

test('paths that never begin a node make full ones, and a change among them is found again', async () => {
  const nodes = new Nodes()
  const names = namesOfRank('x', 1_000, (rank) => rank === 0)
  let at = await step(
    nodes,
    null,
    [],
    names.map((name) => putOf(fileAt(name))),
  )
  for (const bytes of nodes.kept.values()) assert.ok(decodeNode(bytes).level < 2)
  at = await step(nodes, at.root, at.model, [removeOf(names[0] ?? ''), removeOf(names[500] ?? '')])
  at = await step(nodes, at.root, at.model, [putOf(fileAt('\u0001')), putOf(fileAt('xx'))])
  await step(
    nodes,
    at.root,
    at.model,
    at.model.slice(3).map(({ path }) => removeOf(path)),
  )
})

test('paths of which every one would begin a node at every level do not make more nodes than entries', async () => {
  const nodes = new Nodes()
  const names = namesOfRank('y', 300, (rank) => rank >= 2)
  await step(
    nodes,
    null,
    [],
    names.map((name) => putOf(fileAt(name))),
  )
  assert.ok(nodes.kept.size < 20, `${nodes.kept.size} nodes`)
  const sorted = [...namesOfRank('z', 200, (rank) => rank >= 2), ...namesOfRank('z', 200, (rank) => rank === 0)].sort()
  const alternating = new Nodes()
  await alternating.build(sorted.map((name) => fileAt(name)))
  assert.ok(alternating.kept.size < 400, `${alternating.kept.size} nodes`)
})

test('the longest names that cost the most characters fit into nodes', async () => {
  const nodes = new Nodes()
  const long = `${'\u0001'.repeat(254)}/`.repeat(16).slice(0, 4_090)
  const parts = long.split('/')
  const folders = parts.slice(0, -1).map((_, index) => directoryAt(parts.slice(0, index + 1).join('/')))
  const links = Array.from({ length: 300 }, (_, index) => {
    const path = `${long.slice(0, -10)}${String(index).padStart(3, '0')}`
    return fileAt(path, { type: 'symlink', size: 4_095, sha256: null, link_target: '\u0001'.repeat(4_095) })
  })
  const root = await nodes.build([...folders, ...links])
  assert.equal((await collect(readEntries(root, nodes.read))).length, folders.length + links.length)
})

test('ten changes in a tree of 20,000 entries read and write few nodes', async () => {
  const nodes = new Nodes()
  const entries = Array.from({ length: 200 }, (_, folder) => [
    directoryAt(`d${folder}`),
    ...Array.from({ length: 99 }, (_, index) => fileAt(`d${folder}/file-${index}.ts`)),
  ]).flat()
  const root = await nodes.build(entries)
  nodes.asked.length = 0
  const before = nodes.kept.size
  const changes = Array.from({ length: 10 }, (_, index) => putOf(fileAt(`d${index * 19}/file-${index * 7}.ts`, { size: 9 })))
  const { root: after } = await writeChanges(root, changes, nodes.read, nodes.write)
  assert.ok(nodes.asked.length < 60, `${nodes.asked.length} reads`)
  assert.ok(nodes.kept.size - before < 40, `${nodes.kept.size - before} writes`)
  assert.equal((await collect(readEntries(after, nodes.read))).length, 20_000)
})

test('an empty tree has a root, the same whether nothing was put or everything was removed', async () => {
  const nodes = new Nodes()
  const empty = await step(nodes, null, [], [])
  const full = await step(
    nodes,
    null,
    [],
    namesOfRank('x', 200, () => true).map((name) => putOf(fileAt(name))),
  )
  const emptied = await step(
    nodes,
    full.root,
    full.model,
    full.model.map(({ path }) => removeOf(path)),
  )
  assert.equal(emptied.root, empty.root)
  await step(nodes, empty.root, [], [putOf(fileAt('a'))])
})

test('no changes give the same root, and read the root alone', async () => {
  const nodes = new Nodes()
  const root = await nodes.build(namesOfRank('x', 200, () => true).map((name) => fileAt(name)))
  nodes.asked.length = 0
  assert.equal((await writeChanges(root, [], nodes.read, nodes.write)).root, root)
  assert.deepEqual(nodes.asked, [root])
})

test('a node that cannot be written fails the whole, once all others have ended', async () => {
  const nodes = new Nodes()
  const full = new AutovibeError('substrate.disk_full', 'The disk is full.')
  let under = 0
  let count = 0
  const write = async (bytes: Uint8Array): Promise<string> => {
    under++
    const isLast = ++count === 40
    await new Promise((resolve) => setImmediate(resolve))
    under--
    if (isLast) throw full
    return nodes.write(bytes)
  }
  const changes = namesOfRank('x', 3_000, () => true).map((name) => putOf(fileAt(name)))
  await assert.rejects(writeChanges(null, changes, nodes.read, write), full)
  assert.equal(under, 0)
})

test('too many bytes are refused instead of counted wrongly', async () => {
  const nodes = new Nodes()
  const huge = Array.from({ length: 140_000 }, (_, index) => putOf(fileAt(`f${index}`, { size: 2 ** 36 })))
  await assert.rejects(writeChanges(null, huge, nodes.read, nodes.write), { code: 'substrate.failed', message: /bytes/ })
})

test('leaves hold about 16 entries, branches about 64 nodes', async () => {
  const nodes = new Nodes()
  await nodes.build(Array.from({ length: 50_000 }, (_, index) => fileAt(`file-${index}.ts`)))
  const leaves = [...nodes.kept.values()].map(decodeNode).filter(isLeaf)
  assert.ok(leaves.length > 2_500 && leaves.length < 3_600, `${leaves.length} leaves`)
  assert.ok(nodes.kept.size - leaves.length < 100, `${nodes.kept.size - leaves.length} branches`)
})
