import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { systemRuntime } from '../runtime.ts'
import { changesOf, folderChanges, readFolder } from './testing/folder-changes.ts'
import { capture, folderEntry, never, openStore, put, refFiles, segmentFiles, setUp, withCode } from './testing/place.ts'

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
  const captured = await capture(store, null, folderChanges(tree))
  assert.equal(captured.files, 8)
  assert.equal(captured.bytes, 25_000 + 10 + 1 + 3_000_000 + 5_000_000 + 4 + 9)
  assert.deepEqual(await store.verify(captured.manifestSha256, null, never), { ok: true, damaged: [] })
  await mkdir(folder('back'))
  await store.restore(captured.manifestSha256, folder('back'), never)
  assert.deepEqual(await readFolder(folder('back')), await readFolder(tree))
})

test('a second capture of the same tree gives the same manifest and adds nothing', async (t) => {
  const { dataDir, tree, store } = await setUp(t)
  await writeRichTree(tree)
  const { checkpointId: _, ...first } = await capture(store, null, folderChanges(tree))
  const before = await segmentFiles(dataDir)
  for (const each of [store, await openStore(dataDir)]) {
    const { checkpointId: __, ...again } = await capture(each, null, folderChanges(tree))
    assert.deepEqual(again, { ...first, newBytes: 0 })
  }
  assert.deepEqual(await segmentFiles(dataDir), before)
})

test('changes over a parent give the manifest that the whole tree gives', async (t) => {
  const { store } = await setUp(t)
  const parent = await capture(store, null, changesOf(folderEntry('d'), put('d/a', 'a'), put('d/b', 'b'), folderEntry('e'), put('e/x', 'x')))
  const next = await capture(store, parent, changesOf({ kind: 'remove', path: 'e' }, put('d/b', 'B'), put('c', 'c')))
  const whole = await capture(store, null, changesOf(put('c', 'c'), folderEntry('d'), put('d/a', 'a'), put('d/b', 'B')))
  assert.equal(next.manifestSha256, whole.manifestSha256)
  assert.deepEqual(
    (await Array.fromAsync(store.entries(next.manifestSha256))).map(({ path }) => path),
    ['c', 'd', 'd/a', 'd/b'],
  )
})

test('equal contents are stored once, and captures that run at once are each whole', async (t) => {
  const { dataDir, store } = await setUp(t)
  const text = 'the same content\n'.repeat(1000)
  const large = systemRuntime.randomBytes(1_500_000)
  const changes = Array.from({ length: 20 }, (_, index) => [put(`small-${index}`, text), put(`large-${index}`, large)]).flat()
  const first = await capture(store, null, changesOf(...changes))
  assert.ok(first.newBytes < 1_510_000, String(first.newBytes))
  const sizes = await Promise.all((await segmentFiles(dataDir)).map(async (path) => (await stat(path)).size))
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    first.newBytes,
  )
  const more = await Promise.all(
    Array.from({ length: 4 }, (_, index) => capture(store, first, changesOf(put('new', 'new'), put(`only-${index}`, String(index))))),
  )
  const again = await openStore(dataDir)
  for (const { manifestSha256 } of more) assert.deepEqual(await again.verify(manifestSha256, null, never), { ok: true, damaged: [] })
})

test('a large content is parted, so that a change in it stores little anew', async (t) => {
  const { store } = await setUp(t)
  const large = systemRuntime.randomBytes(12_000_000)
  const first = await capture(store, null, changesOf(put('large', large)))
  const edited = Buffer.concat([large.subarray(0, 5_000_000), Buffer.from('put in'), large.subarray(5_000_000)])
  const second = await capture(store, first, changesOf(put('large', edited)))
  assert.ok(second.newBytes < 9_000_000, String(second.newBytes))
  const { sha256 } = (await store.entry(second.manifestSha256, 'large')) ?? {}
  assert.deepEqual(await buffer(await store.open(sha256 ?? '')), edited)
  assert.equal((await store.verify(second.manifestSha256, first.manifestSha256, never)).ok, true)
})

test('what is not compressed by zstd is stored as it is, and nothing can be read without the key', async (t) => {
  const { dataDir, store } = await setUp(t)
  const secret = 'a word that must not be found on the disk\n'
  const noise = systemRuntime.randomBytes(100_000)
  const { newBytes } = await capture(store, null, changesOf(put('secret.txt', secret), put('noise', noise), put('zeros', Buffer.alloc(100_000))))
  assert.ok(newBytes < 102_000, String(newBytes))
  for (const path of await segmentFiles(dataDir)) {
    const bytes = await readFile(path)
    for (const plain of [Buffer.from(secret), Buffer.from('secret.txt'), noise.subarray(1000, 1032)]) assert.equal(bytes.indexOf(plain), -1)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
  }
  for (const name of ['', 'projects', 'keys', 'tmp']) assert.equal((await stat(join(dataDir, 'store', name))).mode & 0o777, 0o700, name)
})

test('a tree whose parent is no longer kept is not kept either', async (t) => {
  const { dataDir, store } = await setUp(t)
  const parent = await capture(store, null, changesOf(put('a', 'a')))
  await store.forget(parent.checkpointId)
  await assert.rejects(capture(store, parent, changesOf(put('b', 'b'))), withCode('checkpoint.corrupt', false))
  assert.deepEqual(await refFiles(dataDir), [])
})
