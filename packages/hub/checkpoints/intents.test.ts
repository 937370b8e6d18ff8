import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import type { Backend } from './backends/backend.ts'
import { openFolder } from './backends/folder.ts'
import { createCheckpointStore } from './create-checkpoint-store.ts'
import { beginWriting, listIntents, type Writer } from './intents.ts'
import { intentsFolder, projectFolder } from './segments/names.ts'
import type { ProjectStore } from './store.ts'
import { badDisk } from './testing/bad-disk.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, never, PROJECT, put, SECRETS, withCode } from './testing/place.ts'

const FOLDER = projectFolder(PROJECT)
const hub = (digit: string, bootedAtMs: number): Writer => ({ hubId: digit.repeat(32), bootedAt: new Date(bootedAtMs) })

async function place(t: TestContext): Promise<Backend> {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-intents-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  return await openFolder(base, { isOwn: true })
}

test('a Hub that starts again ends what it had begun before, and nothing of another', async (t) => {
  const backend = await place(t)
  const store = await createCheckpointStore({ backend, secrets: SECRETS, isOwn: false, writer: hub('a', 3) })
  await beginWriting(backend, FOLDER, hub('a', 1))
  await beginWriting(backend, FOLDER, hub('a', 2))
  const theirs = (await beginWriting(backend, FOLDER, hub('b', 1))).id.toString('hex')
  await capture(store.of(PROJECT), null, changesOf(put('f', 'f')))
  assert.deepEqual([...(await listIntents(backend, FOLDER))], [theirs])
})

test('in a place of its own a Hub ends all that was begun', async (t) => {
  const backend = await place(t)
  const store = await createCheckpointStore({ backend, secrets: SECRETS, isOwn: true })
  await beginWriting(backend, FOLDER, null)
  await beginWriting(backend, FOLDER, hub('b', 1))
  await capture(store.of(PROJECT), null, changesOf(put('f', 'f')))
  assert.equal((await listIntents(backend, FOLDER)).size, 0)
})

test('what is begun while others write says whose it is and when that Hub was started', async (t) => {
  const backend = await place(t)
  const intents = [await beginWriting(backend, FOLDER, hub('a', 17)), await beginWriting(backend, FOLDER, hub('a', 17))]
  const names = (await Array.fromAsync(backend.list(intentsFolder(FOLDER)))).map(({ name }) => name.slice(name.lastIndexOf('/') + 1))
  assert.equal(names.length, 2)
  for (const name of names) assert.match(name, /^a{32}-17-[0-9a-f]{16}$/)
  await intents[0]?.end()
  assert.equal((await listIntents(backend, FOLDER)).size, 1)
})

test('a place that others use as well is not opened without a name', async (t) => {
  await assert.rejects(createCheckpointStore({ backend: await place(t), secrets: SECRETS, isOwn: false }), RangeError)
})

for (const [what, next] of [
  ['capture', (store) => capture(store, null, changesOf(put('g', 'g')))],
  ['collection', (store) => store.collect(never)],
] as readonly (readonly [string, (store: ProjectStore) => Promise<unknown>])[]) {
  test(`a capture whose end cannot be told stands all the same, and the next ${what} tells it`, async (t) => {
    const disk = badDisk(await place(t))
    const store = (await createCheckpointStore({ backend: disk.backend, secrets: SECRETS, isOwn: true })).of(PROJECT)
    disk.isStuck = true
    const kept = await capture(store, null, changesOf(put('f', 'f')))
    assert.equal((await store.verify(kept.manifestSha256, null, never)).ok, true)
    await capture(store, null, changesOf(put('f', 'f')))
    assert.equal((await listIntents(disk.backend, FOLDER)).size, 2)
    await assert.rejects(store.collect(never), withCode('substrate.failed', true))
    disk.isStuck = false
    await next(store)
    assert.equal((await listIntents(disk.backend, FOLDER)).size, 0)
  })
}

test('one who cannot look which segments are condemned leaves no intent behind, at the latest when the next one begins', async (t) => {
  const disk = badDisk(await place(t))
  let isBlind = true
  const { backend } = disk
  async function* list(folder: string) {
    if (isBlind && folder.endsWith('/condemned')) throw new AutovibeError('substrate.unavailable', 'no list of these')
    yield* backend.list(folder)
  }
  const store = (await createCheckpointStore({ backend: { ...backend, list }, secrets: SECRETS, isOwn: true })).of(PROJECT)
  await assert.rejects(capture(store, null, changesOf(put('f', 'f'))), withCode('substrate.unavailable'))
  assert.equal((await listIntents(backend, FOLDER)).size, 0)
  disk.isStuck = true
  await assert.rejects(capture(store, null, changesOf(put('f', 'f'))), withCode('substrate.unavailable'))
  assert.equal((await listIntents(backend, FOLDER)).size, 1)
  disk.isStuck = false
  isBlind = false
  await capture(store, null, changesOf(put('f', 'f')))
  assert.equal((await listIntents(backend, FOLDER)).size, 0)
})
