import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { NODE_BYTES_MAX } from '@autovibe/core/checkpoints/manifest-tree/boundaries.ts'
import { decodeNode, isLeaf } from '@autovibe/core/checkpoints/manifest-tree/node.ts'
import { diffTrees } from './diff-trees.ts'
import { nodesOf } from './nodes-of.ts'
import { findEntry, readEntries } from './read-entries.ts'
import { collect, directoryAt, fileAt, Nodes, putOf } from './testing.ts'
import { writeChanges } from './write-changes.ts'

const ENTRIES = [directoryAt('d'), ...Array.from({ length: 3_000 }, (_, index) => fileAt(`d/f${String(index).padStart(4, '0')}`))]
/** A change in every leaf, so that each is read. */
const EVERYWHERE = ENTRIES.map((entry) => putOf({ ...entry, mode: 0o700 }))

const isCorrupt = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'checkpoint.corrupt' && error.fix !== undefined
const isDamage = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'checkpoint.corrupt'

async function tree() {
  const nodes = new Nodes()
  const root = await nodes.build(ENTRIES)
  const order = (await collect(nodesOf(root, nodes.read))).map(({ sha256 }) => sha256)
  const levelOf = (sha256: string): number => decodeNode(nodes.kept.get(sha256) ?? Buffer.alloc(0)).level
  const leaves = order.filter((sha256) => levelOf(sha256) === 0)
  const branch = order.find((sha256) => levelOf(sha256) === 1) ?? ''
  return { nodes, root, leaves, branch, levelOf }
}

/** The root of a tree that names, all the way up, a node with other bytes: what a program with a mistake might have written. */
function forged(nodes: Nodes, root: string, target: string, bytes: Buffer): Promise<string> {
  const rewrite = async (sha256: string): Promise<string> => {
    if (sha256 === target) return nodes.write(bytes)
    const old = Buffer.from(nodes.kept.get(sha256) ?? '')
    const node = decodeNode(old)
    if (isLeaf(node)) return sha256
    let text = old.toString()
    for (const child of node.children) text = text.replace(child.sha256, await rewrite(child.sha256))
    return nodes.write(Buffer.from(text))
  }
  return rewrite(root)
}

async function everyWalkFails(nodes: Nodes, root: string, fails: (error: unknown) => boolean): Promise<void> {
  await assert.rejects(collect(readEntries(root, nodes.read)), fails)
  await assert.rejects(collect(nodesOf(root, nodes.read)), fails)
  await assert.rejects(collect(diffTrees(null, root, nodes.read)), fails)
  await assert.rejects(writeChanges(root, EVERYWHERE, nodes.read, nodes.write), fails)
}

const text = (nodes: Nodes, sha256: string): string => Buffer.from(nodes.kept.get(sha256) ?? '').toString()

test('a missing node at any place fails every walk', async () => {
  const { nodes, root, leaves, branch } = await tree()
  for (const lost of [root, branch, leaves[0], leaves[50], leaves.at(-1)]) {
    const copy = new Nodes()
    for (const [sha256, bytes] of nodes.kept) if (sha256 !== lost) copy.kept.set(sha256, bytes)
    await everyWalkFails(copy, root, isDamage)
  }
  const lost = leaves[50] ?? ''
  const inside = decodeNode(nodes.kept.get(lost) ?? Buffer.alloc(0))
  nodes.kept.delete(lost)
  assert.ok(isLeaf(inside))
  await assert.rejects(findEntry(root, inside.items[1]?.entry.path ?? '', nodes.read), isDamage)
})

const FORGED_LEAVES: Record<string, (lines: string[]) => string[]> = {
  'with entries out of order': ([head, a, b, ...rest]) => [head ?? '', b ?? '', a ?? '', ...rest],
  'with an entry twice': ([head, a, ...rest]) => [head ?? '', a ?? '', a ?? '', ...rest],
  'with an entry too few': ([head, a, , ...rest]) => [head ?? '', a ?? '', ...rest],
  'with a path that climbs out': ([head, a, b, ...rest]) => [head ?? '', a ?? '', (b ?? '').replace('"d/', '"d/../'), ...rest],
  'with another size': ([head, a, ...rest]) => [head ?? '', (a ?? '').replace('"size":3', '"size":4'), ...rest],
  'with a negative size': ([head, a, ...rest]) => [head ?? '', (a ?? '').replace('"size":3', '"size":-3'), ...rest],
  'that reaches into the next one': (lines) => [...lines.slice(0, -2), (lines.at(-2) ?? '').replace(/"d\/f\d+"/, '"d/g"'), ''],
  'that says it is a branch': ([head, ...rest]) => [(head ?? '').replace('"level":0', '"level":1'), ...rest],
  'of another version': ([head, ...rest]) => [(head ?? '').replace('"version":2', '"version":3'), ...rest],
  'of a level that no tree has': ([head, ...rest]) => [(head ?? '').replace('"level":0', '"level":99'), ...rest],
  'with a line that is not JSON': ([head, ...rest]) => [head ?? '', ...rest.slice(0, -1), '{', ''],
  'with a null for an entry': ([head, ...rest]) => [head ?? '', ...rest.slice(0, -1), 'null', ''],
  'without its last line end': (lines) => lines.slice(0, -1),
  'with more entries than a leaf holds': ([head]) => [
    head ?? '',
    ...Array.from({ length: 129 }, (_, index) => JSON.stringify(fileAt(`d/z${index + 1_000}`))),
    '',
  ],
  'without entries': ([head]) => [head ?? '', ''],
  'without anything': () => [''],
}
for (const [what, change] of Object.entries(FORGED_LEAVES)) {
  test(`a leaf ${what} is damage`, async () => {
    const { nodes, root, leaves } = await tree()
    const leaf = leaves.slice(20).find((sha256) => text(nodes, sha256).split('\n').length > 8) ?? ''
    const bytes = Buffer.from(change(text(nodes, leaf).split('\n')).join('\n'))
    const wrong = await forged(nodes, root, leaf, bytes)
    assert.notEqual(wrong, root)
    await everyWalkFails(nodes, wrong, isCorrupt)
  })
}

const FORGED_BRANCHES: Record<string, (lines: string[]) => string[]> = {
  'with children out of order': ([head, a, b, ...rest]) => [head ?? '', b ?? '', a ?? '', ...rest],
  'with a child too few': ([head, a, , ...rest]) => [head ?? '', a ?? '', ...rest],
  'with other counts': ([head, a, ...rest]) => [head ?? '', (a ?? '').replace(/"entries":(\d+)/, '"entries":1$1'), ...rest],
  'with more files than entries': ([head, a, ...rest]) => [head ?? '', (a ?? '').replace(/"files":\d+/, '"files":900'), ...rest],
  'with a count that is text': ([head, a, ...rest]) => [head ?? '', (a ?? '').replace(/"bytes":(\d+)/, '"bytes":"$1"'), ...rest],
  'with a child that has no hash': ([head, a, ...rest]) => [head ?? '', (a ?? '').replace(/"sha256":"./, '"sha256":"x'), ...rest],
  'with a child that begins elsewhere': ([head, a, b, ...rest]) => [head ?? '', a ?? '', (b ?? '').replace(/"path":"([^"]+)"/, '"path":"$1-"'), ...rest],
  'with one child at two places': ([head, a, b, ...rest]) => {
    const sha256 = /"sha256":"([0-9a-f]+)"/.exec(a ?? '')?.[1] ?? ''
    return [head ?? '', a ?? '', (b ?? '').replace(/"sha256":"[0-9a-f]+"/, `"sha256":"${sha256}"`), ...rest]
  },
  'that says it is a leaf': ([head, ...rest]) => [(head ?? '').replace('"level":1', '"level":0'), ...rest],
  'that says it is higher': ([head, ...rest]) => [(head ?? '').replace('"level":1', '"level":2'), ...rest],
  'without children': ([head]) => [head ?? '', ''],
  'of nulls': ([head]) => [head ?? '', 'null', ''],
}
for (const [what, change] of Object.entries(FORGED_BRANCHES)) {
  test(`a branch ${what} is damage`, async () => {
    const { nodes, root, branch } = await tree()
    const wrong = await forged(nodes, root, branch, Buffer.from(change(text(nodes, branch).split('\n')).join('\n')))
    assert.notEqual(wrong, root)
    await everyWalkFails(nodes, wrong, isCorrupt)
  })
}

test('an entry that lies in no directory is damage, in the whole and beneath a directory', async () => {
  const nodes = new Nodes()
  const root = await nodes.build([directoryAt('a'), directoryAt('a/b'), fileAt('a/b/c'), fileAt('d')])
  const wrong = await forged(nodes, root, root, Buffer.from(text(nodes, root).replace('"path":"a/b"', '"path":"a/a"')))
  await assert.rejects(collect(readEntries(wrong, nodes.read)), isCorrupt)
  await assert.rejects(collect(readEntries(wrong, nodes.read, { under: 'a' })), isCorrupt)
})

test('a store that answers every node with the root, or with one branch, ends in damage and not in a circle', async () => {
  const { nodes, root, branch } = await tree()
  for (const answer of [root, branch]) {
    const lying = new Nodes()
    for (const [sha256, bytes] of nodes.kept) lying.kept.set(sha256, sha256 === root ? bytes : Buffer.from(nodes.kept.get(answer) ?? ''))
    await everyWalkFails(lying, root, isCorrupt)
  }
})

test('bytes beyond what a node takes are refused before they are looked at', async () => {
  const nodes = new Nodes()
  const root = await nodes.write(Buffer.alloc(NODE_BYTES_MAX + 1, 0x20))
  await everyWalkFails(nodes, root, isCorrupt)
})
