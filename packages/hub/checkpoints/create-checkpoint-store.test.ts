import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemRuntime } from '../runtime.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, openStore, put, setUp, withCode } from './testing/place.ts'

test('a name that is no hash reaches no path', async (t) => {
  const { store } = await setUp(t)
  for (const name of ['', '../format', 'A'.repeat(64), `${'a'.repeat(64)}/..`]) {
    await assert.rejects(store.open(name), withCode('request.invalid'))
    await assert.rejects(Array.fromAsync(store.entries(name)), withCode('request.invalid'))
  }
})

test('a reader that leaves early, or never begins, leaves no file open', async (t) => {
  const { store } = await setUp(t)
  const bytes = systemRuntime.randomBytes(2_000_000)
  await capture(store, null, changesOf(put('f', bytes)))
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const openFiles = async (): Promise<number> => (await readdir('/proc/self/fd')).length
  const before = await openFiles()
  for (let count = 0; count < 50; count++) {
    const stream = await store.open(sha256)
    if (count % 2 === 0) for await (const _ of stream) break
    const closed = stream.closed ? Promise.resolve() : new Promise((resolve) => stream.once('close', resolve))
    stream.destroy()
    await closed
  }
  // The files close behind their streams, on the loop's next turns.
  for (let turn = 0; turn < 1000 && (await openFiles()) > before; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok((await openFiles()) <= before)
})

test('a store of another version, and a folder that is no store, are refused and left alone', async (t) => {
  const { dataDir, store } = await setUp(t)
  await capture(store, null, changesOf(put('f', 'f')))
  const format = join(dataDir, 'store', 'format')
  const good = await readFile(format, 'utf8')
  for (const text of [good.replace('2', '3'), good.replace('autovibe-', ''), '', 'x'.repeat(10_000)]) {
    await writeFile(format, text)
    await assert.rejects(openStore(dataDir), withCode('hub.data_version'))
    assert.equal(await readFile(format, 'utf8'), text)
  }
  await unlink(format)
  await assert.rejects(openStore(dataDir), withCode('hub.data_version'))
  await writeFile(format, good)
  await openStore(dataDir)
})

test('what a dead capture left half done is gone after the next opening', async (t) => {
  const { dataDir } = await setUp(t)
  await writeFile(join(dataDir, 'store', 'tmp', 'half'), 'half')
  await openStore(dataDir)
  assert.deepEqual(await readdir(join(dataDir, 'store', 'tmp')), [])
})
