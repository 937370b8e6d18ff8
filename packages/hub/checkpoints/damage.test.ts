import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import { systemRuntime } from '../runtime.ts'
import { changesOf } from './testing/folder-changes.ts'
import { folderEntry, never, objectFiles, put, setUp, withCode } from './testing/place.ts'

test('whatever byte of the disk is damaged, verify names the paths or the content is still right', async (t) => {
  const { dataDir, store } = await setUp(t)
  const text = Buffer.from('some text that shrinks, some text that shrinks, some text that shrinks')
  const captured = await store.capture(null, changesOf(folderEntry('d'), put('d/one', text), put('d/two', text), put('other', 'other')), never)
  const sha256 = createHash('sha256').update(text).digest('hex')
  const path = (await objectFiles(dataDir)).find((file) => file.includes(sha256)) ?? ''
  const good = await readFile(path)
  let detected = 0
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = Buffer.from(good)
    bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    await writeFile(path, bad)
    const { ok, damaged } = await store.verify(captured.manifestSha256, null, never)
    if (ok) assert.deepEqual(await buffer(await store.open(sha256)), text)
    else {
      detected++
      assert.deepEqual(damaged, ['d/one', 'd/two'])
      await assert.rejects(buffer(await store.open(sha256)), withCode('checkpoint.corrupt'))
    }
  }
  assert.ok(detected > good.length * 6, `${detected} of ${good.length * 8}`)
  for (let length = 0; length < good.length; length++) {
    await writeFile(path, good.subarray(0, length))
    assert.deepEqual((await store.verify(captured.manifestSha256, null, never)).damaged, ['d/one', 'd/two'])
    await assert.rejects(buffer(await store.open(sha256)), withCode('checkpoint.corrupt'))
  }
})

test('a damaged byte in a large content is found, compressed or not, and its reader never sees the end', async (t) => {
  const { dataDir, store } = await setUp(t)
  const contents = [systemRuntime.randomBytes(2_000_000), Buffer.from(Array.from({ length: 200_000 }, (_, line) => `line ${line}\n`).join(''))]
  const captured = await store.capture(null, changesOf(...contents.map((bytes, index) => put(`f${index}`, bytes))), never)
  for (const path of await objectFiles(dataDir)) {
    const bytes = await readFile(path)
    const middle = bytes.length >> 1
    bytes[middle] = (bytes[middle] ?? 0) ^ 1
    await writeFile(path, bytes)
  }
  assert.deepEqual(await store.verify(captured.manifestSha256, null, never), { ok: false, damaged: ['f0', 'f1'] })
  for (const bytes of contents) {
    const read: Uint8Array[] = []
    await assert.rejects(async () => {
      for await (const chunk of await store.open(createHash('sha256').update(bytes).digest('hex'))) read.push(chunk as Uint8Array)
    }, withCode('checkpoint.corrupt'))
    assert.ok(Buffer.concat(read).length < bytes.length)
  }
})

test('an object that unpacks to far more than its manifest says is damage, found without unpacking it', async (t) => {
  const { dataDir, store } = await setUp(t)
  const small = Buffer.from('a'.repeat(60_000))
  const large = Buffer.from('b'.repeat(2_000_000))
  const captured = await store.capture(null, changesOf(put('large', large), put('small', small)), never)
  const bomb = zstdCompressSync(Buffer.alloc(300_000_000))
  for (const path of await objectFiles(dataDir)) await writeFile(path, bomb)
  const before = process.memoryUsage.rss()
  assert.deepEqual(await store.verify(captured.manifestSha256, null, never), { ok: false, damaged: ['large', 'small'] })
  assert.ok(process.memoryUsage.rss() - before < 100_000_000)
})

test('missing contents are named, at most a hundred of them, and cannot be opened', async (t) => {
  const { dataDir, store } = await setUp(t)
  const captured = await store.capture(null, changesOf(...Array.from({ length: 150 }, (_, index) => put(`f${index}`, String(index)))), never)
  for (const path of await objectFiles(dataDir)) await unlink(path)
  const { ok, damaged } = await store.verify(captured.manifestSha256, null, never)
  assert.equal(ok, false)
  assert.equal(damaged.length, 100)
  await assert.rejects(store.open(createHash('sha256').update('1').digest('hex')), withCode('checkpoint.corrupt'))
})

test('since a verified manifest only what is new is read, and a damaged one vouches for nothing', async (t) => {
  const { dataDir, store } = await setUp(t)
  const first = await store.capture(null, changesOf(put('old', 'old')), never)
  const second = await store.capture(first.manifestSha256, changesOf(put('new', 'new'), put('same', 'old')), never)
  const oldSha256 = createHash('sha256').update('old').digest('hex')
  for (const path of await objectFiles(dataDir)) if (path.includes(oldSha256)) await writeFile(path, 'OLD')
  assert.deepEqual(await store.verify(second.manifestSha256, first.manifestSha256, never), { ok: true, damaged: [] })
  assert.deepEqual(await store.verify(second.manifestSha256, null, never), { ok: false, damaged: ['old', 'same'] })
  await rm(join(dataDir, 'store', 'manifests', first.manifestSha256.slice(0, 2)), { recursive: true })
  assert.deepEqual(await store.verify(second.manifestSha256, first.manifestSha256, never), { ok: false, damaged: ['old', 'same'] })
})

test('a manifest that is damaged or missing is corrupt for every use', async (t) => {
  const { dataDir, store } = await setUp(t)
  const { manifestSha256 } = await store.capture(null, changesOf(put('a', 'a')), never)
  const folder = join(dataDir, 'store', 'manifests', manifestSha256.slice(0, 2))
  const path = join(folder, (await readdir(folder))[0] ?? '')
  const good = await readFile(path)
  const other = zstdCompressSync('{"format":"autovibe-manifest","version":1}\n')
  for (const bad of [Buffer.alloc(0), good.subarray(1), good.subarray(0, -3), other, Buffer.from('no zstd')]) {
    await writeFile(path, bad)
    await assert.rejects(store.readManifest(manifestSha256), withCode('checkpoint.corrupt'))
    await assert.rejects(store.verify(manifestSha256, null, never), withCode('checkpoint.corrupt'))
    await assert.rejects(store.capture(manifestSha256, changesOf(), never), withCode('checkpoint.corrupt'))
  }
  await unlink(path)
  await assert.rejects(store.readManifest(manifestSha256), withCode('checkpoint.corrupt'))
})
