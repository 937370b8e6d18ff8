import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemRuntime } from '../runtime.ts'
import { createCheckpointStore } from './directory-store.ts'
import { changesOf, folderChanges, readFolder, restore } from './testing/folder-changes.ts'
import { folderEntry, never, objectFiles, put, setUp } from './testing/place.ts'

async function writeRichTree(tree: string): Promise<void> {
  await mkdir(join(tree, 'project/empty'), { recursive: true })
  await mkdir(join(tree, 'home/.claude'), { recursive: true })
  await writeFile(join(tree, 'project/text.txt'), 'line\n'.repeat(5000))
  await writeFile(join(tree, 'project/nothing'), '')
  await writeFile(join(tree, 'project/run.sh'), '#!/bin/sh\n', { mode: 0o755 })
  await writeFile(join(tree, 'project/private'), 'x', { mode: 0o600 })
  await chmod(join(tree, 'project/empty'), 0o1777)
  await writeFile(join(tree, 'project/noise'), systemRuntime.randomBytes(3_000_000))
  await writeFile(join(tree, 'project/large'), Buffer.alloc(5_000_000, 'abc def '))
  await writeFile(join(tree, 'project/back\\slash é \u{1f600}'), 'name')
  await writeFile(Buffer.concat([Buffer.from(`${tree}/project/`), Buffer.from([0x66, 0xff, 0xfe])]), 'not UTF-8')
  await symlink('../home', join(tree, 'project/link'))
  await symlink('project', join(tree, 'project/loop'))
}

test('a tree comes back from its checkpoint as it was', async (t) => {
  const { tree, store, folder } = await setUp(t)
  await writeRichTree(tree)
  const captured = await store.capture(null, folderChanges(tree), never)
  assert.equal(captured.files, 8)
  assert.equal(captured.bytes, 25_000 + 10 + 1 + 3_000_000 + 5_000_000 + 4 + 9)
  assert.deepEqual(await store.verify(captured.manifestSha256, null, never), { ok: true, damaged: [] })
  await mkdir(folder('back'))
  await restore(store, captured.manifestSha256, folder('back'))
  assert.deepEqual(await readFolder(folder('back')), await readFolder(tree))
})

test('a second capture of the same tree gives the same manifest and adds nothing', async (t) => {
  const { dataDir, tree, store } = await setUp(t)
  await writeRichTree(tree)
  const first = await store.capture(null, folderChanges(tree), never)
  const before = await objectFiles(dataDir)
  assert.deepEqual(await store.capture(null, folderChanges(tree), never), { ...first, newBytes: 0 })
  const reopened = await createCheckpointStore({ dataDir, runtime: systemRuntime })
  assert.deepEqual(await reopened.capture(null, folderChanges(tree), never), { ...first, newBytes: 0 })
  assert.deepEqual(await objectFiles(dataDir), before)
})

test('changes over a parent give the manifest that the whole tree gives', async (t) => {
  const { store } = await setUp(t)
  const parent = await store.capture(null, changesOf(folderEntry('d'), put('d/a', 'a'), put('d/b', 'b'), folderEntry('e'), put('e/x', 'x')), never)
  const next = await store.capture(parent.manifestSha256, changesOf({ kind: 'remove', path: 'e' }, put('d/b', 'B'), put('c', 'c')), never)
  const whole = await store.capture(null, changesOf(put('c', 'c'), folderEntry('d'), put('d/a', 'a'), put('d/b', 'B')), never)
  assert.equal(next.manifestSha256, whole.manifestSha256)
  assert.deepEqual(
    (await store.readManifest(next.manifestSha256)).map(({ path }) => path),
    ['c', 'd', 'd/a', 'd/b'],
  )
})

test('equal contents are stored once, also when captures run at once, and new bytes are counted once', async (t) => {
  const { dataDir, store } = await setUp(t)
  const text = 'the same content\n'.repeat(1000)
  const large = systemRuntime.randomBytes(1_500_000)
  const changes = Array.from({ length: 20 }, (_, index) => [put(`small-${index}`, text), put(`large-${index}`, large)]).flat()
  const captures = await Promise.all(Array.from({ length: 4 }, () => store.capture(null, changesOf(...changes), never)))
  const files = await objectFiles(dataDir)
  assert.equal(files.length, 2)
  const [manifest] = captures.map(({ manifestSha256 }) => manifestSha256)
  for (const captured of captures) assert.equal(captured.manifestSha256, manifest)
  const manifests = await readdir(join(dataDir, 'store', 'manifests', manifest?.slice(0, 2) ?? ''))
  const sizes = await Promise.all(
    [...files, ...manifests.map((name) => join(dataDir, 'store', 'manifests', name.slice(0, 2), name))].map(async (path) => (await stat(path)).size),
  )
  assert.equal(
    captures.reduce((sum, { newBytes }) => sum + newBytes, 0),
    sizes.reduce((sum, size) => sum + size, 0),
  )
})

test('content that does not shrink is stored as it is, the rest is compressed, and nobody else may read either', async (t) => {
  const { dataDir, store } = await setUp(t)
  const contents = [
    systemRuntime.randomBytes(100_000),
    systemRuntime.randomBytes(2_000_000),
    Buffer.alloc(100_000),
    Buffer.alloc(2_000_000),
    Buffer.alloc(0),
    Buffer.from('x'),
  ]
  await store.capture(null, changesOf(...contents.map((bytes, index) => put(String(index), bytes))), never)
  const files = await objectFiles(dataDir)
  for (const bytes of contents) {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const path = files.find((file) => file.includes(sha256)) ?? ''
    const { size, mode } = await stat(path)
    assert.equal(mode & 0o777, 0o600)
    if (path.endsWith('.raw')) assert.deepEqual(await readFile(path), bytes)
    else assert.ok(size < bytes.length)
  }
  assert.equal(files.filter((path) => path.endsWith('.zst')).length, 2)
  for (const name of ['', 'objects', 'manifests', 'tmp']) assert.equal((await stat(join(dataDir, 'store', name))).mode & 0o777, 0o700, name)
})
