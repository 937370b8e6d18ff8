/** What a project takes in its store. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { test } from 'node:test'
import type { TreeChange } from '../substrates/substrate.ts'
import { capture, folderEntry, openStore, put, segmentFiles, setUp } from './testing/place.ts'

async function* changes(...of: readonly TreeChange[]): AsyncGenerator<TreeChange> {
  yield* of
}

test('the size of a project is that of its segments, and of each content once', async (t) => {
  const { store, dataDir } = await setUp(t)
  assert.deepEqual(await store.size(), { storedBytes: 0, uniqueBytes: 0 })
  const [text, noise, large] = ['line\n'.repeat(10_000), randomBytes(30_000), randomBytes(3_000_000)]
  const first = await capture(store, null, changes(folderEntry('project'), put('project/a', text), put('project/b', noise), put('project/c', text)))
  await capture(store, first, changes(put('project/d', large), put('project/e', noise)))
  const size = await store.size()
  assert.equal(size.uniqueBytes, text.length + noise.length + large.length)
  const files = await Promise.all((await segmentFiles(dataDir)).map((path) => stat(path)))
  assert.equal(
    size.storedBytes,
    files.reduce((sum, { size: bytes }) => sum + bytes, 0),
  )
  assert.ok(size.storedBytes > noise.length + large.length)
  assert.deepEqual(await (await openStore(dataDir)).size(), size)
})
