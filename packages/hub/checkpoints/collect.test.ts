import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemRuntime } from '../runtime.ts'
import type { TreeChange } from '../substrates/substrate.ts'
import { openFolder } from './backends/folder.ts'
import { createCheckpointStore } from './create-checkpoint-store.ts'
import type { ProjectStore } from './store.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, damage, type Kept, never, openStore, PROJECT, put, refFiles, SECRETS, segmentFiles, setUp, withCode } from './testing/place.ts'

const noise = (bytes: number): Buffer => systemRuntime.randomBytes(bytes)

/** So many looks that everything that can go is gone. */
async function collectAll(store: ProjectStore): Promise<void> {
  for (let look = 0; look < 6; look++) await store.collect(never)
}

async function sizeOf(dataDir: string): Promise<number> {
  const sizes = await Promise.all((await segmentFiles(dataDir)).map(async (path) => (await stat(path)).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

async function assertSound(store: ProjectStore, kept: readonly Kept[]): Promise<void> {
  for (const { manifestSha256 } of kept) assert.deepEqual(await store.verify(manifestSha256, null, never), { ok: true, damaged: [] })
}

/** One of several Hubs that share a place. */
async function openShared(dataDir: string, hub: number): Promise<ProjectStore> {
  const backend = await openFolder(join(dataDir, 'store'), { isOwn: false })
  return (await createCheckpointStore({ backend, secrets: SECRETS, isOwn: false, writer: { hubId: String(hub).repeat(32), bootedAt: new Date(0) } })).of(
    PROJECT,
  )
}

test('what no name keeps is gone after a few looks, and what one keeps is not', async (t) => {
  const { dataDir, store } = await setUp(t)
  const first = await capture(store, null, changesOf(put('a', noise(400_000)), put('shared', noise(100_000))))
  const second = await capture(store, first, changesOf({ kind: 'remove', path: 'a' }, put('b', noise(300_000))))
  await collectAll(store)
  await assertSound(store, [first, second])
  await store.forget(first.checkpointId)
  await collectAll(store)
  await assertSound(store, [second])
  await assertSound(await openStore(dataDir), [second])
  const size = await sizeOf(dataDir)
  assert.ok(size > 400_000 && size < 420_000, String(size))
  await store.forget(second.checkpointId)
  await collectAll(store)
  assert.deepEqual(await segmentFiles(dataDir), [])
})

test('a writer that began before a segment was condemned is waited for, and one that begins later stores anew', async (t) => {
  const { dataDir, store } = await setUp(t)
  const content = noise(200_000)
  const old = await capture(store, null, changesOf(put('old', content)))
  await store.forget(old.checkpointId)
  const { promise: told, resolve: tell } = Promise.withResolvers<void>()
  const { promise: reading, resolve: begun } = Promise.withResolvers<void>()
  async function* slow(): AsyncGenerator<TreeChange, void> {
    yield put('early', content)
    begun()
    await told
    yield put('last', 'last')
  }
  const early = capture(store, null, slow())
  await reading
  for (let look = 0; look < 4; look++) assert.equal((await store.collect(never)).deleted, 0)
  const late = await capture(store, null, changesOf(put('late', content)))
  tell()
  const kept = [await early, late]
  await collectAll(store)
  await assertSound(await openStore(dataDir), kept)
})

test('what is needed of a segment of which little is needed moves, and the rest of it goes', async (t) => {
  const { dataDir, store } = await setUp(t)
  const keeper = noise(50_000)
  const first = await capture(store, null, changesOf(put('small', keeper), put('large', noise(900_000))))
  const second = await capture(store, null, changesOf(put('small', keeper)))
  await store.forget(first.checkpointId)
  const { movedBytes } = await store.collect(never)
  assert.ok(movedBytes >= 50_000 && movedBytes < 60_000, String(movedBytes))
  await collectAll(store)
  await assertSound(await openStore(dataDir), [second])
  assert.ok((await sizeOf(dataDir)) < 60_000)
})

test('what has healed from a later tree stays healed when the store is collected', async (t) => {
  const { dataDir, store } = await setUp(t)
  const [content, filler] = [noise(1_000), noise(200_000)]
  const first = await capture(store, null, changesOf(put('a', content)))
  await damage(dataDir, 'content', createHash('sha256').update(content).digest('hex'), 'itself')
  assert.equal((await store.verify(first.manifestSha256, null, never)).ok, false)
  const healer = await capture(store, null, changesOf(put('b', content), put('filler', filler)))
  await assertSound(store, [first, healer])
  await store.forget(healer.checkpointId)
  await collectAll(store)
  await assertSound(store, [first])
  await assertSound(await openStore(dataDir), [first])
})

test('nothing is deleted while it cannot be told what a kept checkpoint needs', async (t) => {
  const { dataDir, store } = await setUp(t)
  const [whole, torn] = [await capture(store, null, changesOf(put('a', noise(1000)))), await capture(store, null, changesOf(put('b', noise(1000))))]
  const gone = await capture(store, null, changesOf(put('c', noise(1000))))
  await store.forget(gone.checkpointId)
  await damage(dataDir, 'node', torn.manifestSha256, 'itself')
  const before = await segmentFiles(dataDir)
  const again = await openStore(dataDir)
  for (let look = 0; look < 4; look++) await assert.rejects(again.collect(never), withCode('checkpoint.corrupt'))
  assert.deepEqual(await segmentFiles(dataDir), before)
  await again.forget(torn.checkpointId)
  await collectAll(again)
  await assertSound(again, [whole])
  assert.equal((await segmentFiles(dataDir)).length, 1)
})

test('a Hub that reads while another has collected finds all of it, wherever it lies now', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-collect-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  const [reader, other] = [await openShared(base, 0), await openShared(base, 1)]
  const files = Array.from({ length: 8 }, (_, index) => put(`f${index}`, noise(3_000)))
  const parts: Kept[] = []
  // Each in a segment of its own, the half of them beside something large that nobody will need.
  for (const [index, file] of files.entries())
    parts.push(await capture(reader, null, changesOf(file, ...(index % 2 === 0 ? [put('large', noise(900_000))] : []))))
  const all = await capture(reader, null, changesOf(...files))
  for (const { checkpointId } of parts) await other.forget(checkpointId)
  await collectAll(other)
  assert.deepEqual(await reader.verify(all.manifestSha256, null, never), { ok: true, damaged: [] })
})

test('two Hubs that write and forget while two collect never lose what is kept', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-collect-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  const contents = Array.from({ length: 12 }, () => noise(3_000))
  const kept: Kept[] = []
  let writing = 2
  const pick = (count: number): number => systemRuntime.randomBytes(4).readUInt32LE() % count
  async function write(store: ProjectStore): Promise<void> {
    for (let round = 0; round < 25; round++) {
      const files = Array.from({ length: 1 + pick(4) }, (_, index) => put(`f${index}`, contents[pick(contents.length)] ?? ''))
      const parent = kept.length > 0 && pick(2) === 0 ? (kept[pick(kept.length)] ?? null) : null
      try {
        kept.push(await capture(store, parent, changesOf(...files)))
      } catch (error) {
        // Its parent was forgotten by the other one meanwhile.
        if (!withCode('checkpoint.corrupt')(error)) throw error
      }
      if (kept.length > 4) {
        const [gone] = kept.splice(pick(kept.length), 1)
        if (gone) await store.forget(gone.checkpointId)
      }
    }
    writing--
  }
  let deleted = 0
  async function collect(store: ProjectStore): Promise<void> {
    while (writing > 0) deleted += (await store.collect(never)).deleted
  }
  const hubs = await Promise.all(Array.from({ length: 4 }, (_, hub) => openShared(base, hub)))
  await Promise.all(hubs.map((hub, index) => (index < 2 ? write(hub) : collect(hub))))
  for (const hub of [...hubs, await openShared(base, 5)]) await assertSound(hub, kept)
  assert.ok(deleted > 0)
  assert.equal((await refFiles(base)).length, kept.length)
})
