import { deepEqual, equal, ok } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { constants, zstdCompressSync } from 'node:zlib'
import { changeTree, type TreeShape, writeTree } from './tree.ts'

const SHAPE: TreeShape = { name: 'tiny', files: 400, bytes: 8_000_000, largeFiles: 2 }

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'avb-tree-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

async function contents(root: string): Promise<Map<string, Buffer>> {
  const all = await readdir(root, { recursive: true, withFileTypes: true })
  const paths = all.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name).slice(root.length + 1))
  return new Map(await Promise.all(paths.sort().map(async (path) => [path, await readFile(join(root, path))] as const)))
}

const hashes = (tree: Map<string, Buffer>) => [...tree].map(([path, bytes]) => `${path} ${createHash('sha256').update(bytes).digest('hex')}`)

test('two trees of one shape are the same, byte for byte, before and after the same rounds', async (t) => {
  const [one, other] = [await folder(t), await folder(t)]
  for (const root of [one, other]) {
    await writeTree(root, SHAPE)
    await changeTree(root, SHAPE, 0)
  }
  deepEqual(hashes(await contents(one)), hashes(await contents(other)))
})

test('a round changes just the paths that it names, one in a hundred files, with one large file as long as there are any, and no two rounds the same', async (t) => {
  const root = await folder(t)
  await writeTree(root, SHAPE)
  const seen = new Set<string>()
  for (let round = 0; round < 10; round++) {
    const before = new Set(hashes(await contents(root)))
    const named = await changeTree(root, SHAPE, round)
    const after = new Set(hashes(await contents(root)))
    const differing = [...before, ...after].filter((line) => !before.has(line) || !after.has(line)).map((line) => line.split(' ')[0] ?? '')
    deepEqual([...new Set(differing)].sort(), named)
    // Four of 400, of which one was deleted and came back under another name.
    equal(named.length, 5)
    const sizes = await Promise.all(named.map(async (path) => (await stat(join(root, path)).catch(() => null))?.size ?? 0))
    equal(sizes.filter((size) => size > 2 ** 20).length, round < SHAPE.largeFiles ? 1 : 0)
    for (const path of named) {
      ok(!seen.has(path), path)
      seen.add(path)
    }
  }
})

test('the tree has as many files and bytes as its shape says, and compresses as source code does', async (t) => {
  const root = await folder(t)
  await writeTree(root, SHAPE)
  const files = [...(await contents(root)).values()]
  const bytes = files.reduce((sum, each) => sum + each.length, 0)
  const packed = files.reduce((sum, each) => sum + zstdCompressSync(each, { params: { [constants.ZSTD_c_compressionLevel]: 3 } }).length, 0)
  equal(files.length, SHAPE.files)
  ok(Math.abs(bytes / SHAPE.bytes - 1) < 0.1, `${bytes} bytes`)
  ok(bytes / packed > 2.4 && bytes / packed < 3.1, `${bytes / packed} x`)
})
