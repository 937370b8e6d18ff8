import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { open, readFile, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { systemRuntime } from '../runtime.ts'
import { segmentProblem } from './segments/check-segment.ts'
import { segmentKey } from './segments/format.ts'
import type { ProjectStore } from './store.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, damage, folderEntry, type Kept, keyOf, never, openStore, PROJECT, put, segmentFiles, setUp, withCode } from './testing/place.ts'

const sha256Of = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')
const TEXT = Buffer.from('some text that shrinks, some text that shrinks, some text that shrinks')

/** What a store says of a tree: the damaged paths, or `manifest` when that itself cannot be read. */
async function verdict(store: ProjectStore, { manifestSha256 }: Kept): Promise<readonly string[]> {
  try {
    return (await store.verify(manifestSha256, null, never)).damaged
  } catch (error) {
    assert.ok(error instanceof AutovibeError && error.code === 'checkpoint.corrupt', String(error))
    return ['the manifest']
  }
}

test('every bit of a segment that flips is found', async (t) => {
  const { dataDir, store } = await setUp(t)
  await capture(store, null, changesOf(folderEntry('d'), put('d/one', TEXT), put('other', 'other')))
  const [path = ''] = await segmentFiles(dataDir)
  const good = await readFile(path)
  const id = Buffer.from(path.slice(-32), 'hex')
  const key = segmentKey(await keyOf(dataDir), id)
  assert.equal(segmentProblem(good, id, key), null)
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = Buffer.from(good)
    bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.notEqual(segmentProblem(bad, id, key), null, `bit ${bit}`)
  }
  for (let length = 0; length < good.length; length++) assert.notEqual(segmentProblem(good.subarray(0, length), id, key), null, `${length} bytes`)
})

test('whatever byte of a segment is damaged, what a store still calls right is right', async (t) => {
  const { dataDir, store } = await setUp(t)
  const kept = await capture(store, null, changesOf(folderEntry('d'), put('d/one', TEXT), put('d/two', TEXT), put('other', 'other')))
  const [path = ''] = await segmentFiles(dataDir)
  const good = await readFile(path)
  const found = new Set<string>()
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good)
    bad[at] = (bad[at] ?? 0) ^ 0x10
    await writeFile(path, bad)
    const again = await openStore(dataDir)
    const damaged = await verdict(again, kept)
    found.add(damaged.join())
    if (damaged.length === 0) {
      assert.deepEqual(await buffer(await again.open(sha256Of(TEXT))), TEXT)
      assert.deepEqual(
        (await Array.fromAsync(again.entries(kept.manifestSha256))).map((entry) => entry.path),
        ['d', 'd/one', 'd/two', 'other'],
      )
    } else if (damaged.includes('d/one')) await assert.rejects(async () => buffer(await again.open(sha256Of(TEXT))), withCode('checkpoint.corrupt'))
  }
  // A table that is damaged is made anew from the records; its bytes cost nothing.
  assert.deepEqual([...found].sort(), ['', 'd/one,d/two,other', 'the manifest'])
})

test('a segment that is cut off anywhere damages what lay in its end, and no checkpoint before it', async (t) => {
  const { dataDir, store } = await setUp(t)
  const first = await capture(store, null, changesOf(put('old', TEXT)))
  const [before = ''] = await segmentFiles(dataDir)
  const second = await capture(store, first, changesOf(put('new', 'new')))
  const path = (await segmentFiles(dataDir)).find((file) => file !== before) ?? ''
  const good = await readFile(path)
  for (let length = good.length - 1; length >= 0; length--) {
    await truncate(path, length)
    const again = await openStore(dataDir)
    assert.deepEqual(await verdict(again, first), [])
    const damaged = await verdict(again, second)
    if (damaged.length === 0) assert.equal(String(await buffer(await again.open(sha256Of('new')))), 'new')
    // What was cut off is stored again by whoever brings it again.
    if (length % 16 === 0) {
      const third = await capture(again, first, changesOf(put('new', 'new')))
      assert.equal(third.manifestSha256, second.manifestSha256)
      assert.deepEqual(await verdict(again, second), [])
      for (const file of await segmentFiles(dataDir)) if (file !== before && file !== path) await unlink(file)
    }
  }
})

test('a damaged byte in a large content is found, compressed or not, and its reader never sees the end', async (t) => {
  const { dataDir, store } = await setUp(t)
  const contents = [systemRuntime.randomBytes(3_000_000), Buffer.from(Array.from({ length: 300_000 }, (_, line) => `line ${line}\n`).join(''))]
  const kept = await capture(store, null, changesOf(...contents.map((bytes, index) => put(`f${index}`, bytes)), put('sound', 'sound')))
  for (const bytes of contents) await damage(dataDir, 'list', sha256Of(bytes), 'chunk')
  assert.deepEqual(await store.verify(kept.manifestSha256, null, never), { ok: false, damaged: ['f0', 'f1'] })
  for (const bytes of contents) {
    const read: Uint8Array[] = []
    await assert.rejects(async () => {
      for await (const chunk of await store.open(sha256Of(bytes))) read.push(chunk as Uint8Array)
    }, withCode('checkpoint.corrupt'))
    assert.ok(Buffer.concat(read).length < bytes.length)
  }
})

test('damaged contents are named, at most a hundred of them', async (t) => {
  const { dataDir, store } = await setUp(t)
  const kept = await capture(store, null, changesOf(...Array.from({ length: 150 }, (_, index) => put(`f${index}`, String(index)))))
  await damage(dataDir, 'content', sha256Of('7'), 'itself')
  const { ok, damaged } = await (await openStore(dataDir)).verify(kept.manifestSha256, null, never)
  assert.deepEqual([ok, damaged.length], [false, 100])
})

test('what is damaged heals from a later tree that brings the same content', async (t) => {
  const { dataDir, store } = await setUp(t)
  const first = await capture(store, null, changesOf(put('a', 'a content'), put('b', 'b content')))
  await damage(dataDir, 'content', sha256Of('a content'), 'itself')
  const again = await openStore(dataDir)
  assert.deepEqual((await again.verify(first.manifestSha256, null, never)).damaged, ['a', 'b'])
  const later = await capture(again, null, changesOf(put('c', 'a content')))
  assert.equal((await again.verify(later.manifestSha256, null, never)).ok, true)
  assert.deepEqual((await again.verify(first.manifestSha256, null, never)).damaged, ['b'])
  // Both copies lie there now; a store that is opened anew finds the sound one.
  assert.deepEqual((await (await openStore(dataDir)).verify(first.manifestSha256, null, never)).damaged, ['b'])
})

test('since a verified manifest only what is new is read, and a damaged one vouches for nothing', async (t) => {
  const { dataDir, store } = await setUp(t)
  const first = await capture(store, null, changesOf(put('old', 'old')))
  const second = await capture(store, first, changesOf(put('new', 'new'), put('same', 'old')))
  await damage(dataDir, 'content', sha256Of('old'), 'itself')
  const since = await (await openStore(dataDir)).verify(second.manifestSha256, first.manifestSha256, never)
  // The entry that is new names the content, so that it is read again.
  assert.deepEqual(since, { ok: false, damaged: ['old', 'same'] })
  const third = await capture(store, second, changesOf(put('newer', 'newer')))
  assert.deepEqual(await store.verify(third.manifestSha256, second.manifestSha256, never), { ok: true, damaged: [] })
  await damage(dataDir, 'node', second.manifestSha256, 'itself')
  assert.deepEqual(await store.verify(third.manifestSha256, second.manifestSha256, never), { ok: false, damaged: ['old', 'same'] })
})

test('a manifest that is damaged or missing is corrupt for every use', async (t) => {
  const { dataDir, store } = await setUp(t)
  const kept = await capture(store, null, changesOf(put('a', 'a')))
  await damage(dataDir, 'node', kept.manifestSha256, 'itself')
  for (const one of [kept, { ...kept, manifestSha256: 'ab'.repeat(32) }]) {
    await assert.rejects(Array.fromAsync(store.entries(one.manifestSha256)), withCode('checkpoint.corrupt'))
    await assert.rejects(store.entry(one.manifestSha256, 'a'), withCode('checkpoint.corrupt'))
    await assert.rejects(store.verify(one.manifestSha256, null, never), withCode('checkpoint.corrupt'))
    await assert.rejects(capture(store, one, changesOf(put('b', 'b'))), withCode('checkpoint.corrupt'))
  }
})

test('a name or a key that is damaged is said to be, and another master key opens nothing', async (t) => {
  const { dataDir, store } = await setUp(t)
  const kept = await capture(store, null, changesOf(put('a', 'a')))
  const flip = async (path: string): Promise<void> => {
    const file = await open(path, 'r+')
    const { buffer: bytes } = await file.read(Buffer.alloc(1), 0, 1, 40)
    await file.write(Buffer.of((bytes[0] ?? 0) ^ 1), 0, 1, 40)
    await file.close()
  }
  const folder = join(dataDir, 'store', 'projects')
  const ref = join(folder, PROJECT, 'refs', kept.checkpointId)
  await flip(ref)
  await assert.rejects(capture(store, kept, changesOf(put('b', 'b'))), withCode('checkpoint.corrupt'))
  await flip(join(dataDir, 'store', 'keys', PROJECT))
  await assert.rejects(Array.fromAsync((await openStore(dataDir)).entries(kept.manifestSha256)), withCode('checkpoint.corrupt'))
})
