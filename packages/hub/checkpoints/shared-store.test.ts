/** Two Hubs with the same master key on one bucket of a real server. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { createSecrets } from '../security/secrets.ts'
import { openS3 } from './backends/s3.ts'
import type { S3Config } from './backends/s3-config.ts'
import { openS3Store } from './create-checkpoint-store.ts'
import { listIntents } from './intents.ts'
import { projectKey } from './project-keys.ts'
import { projectFolder } from './segments/names.ts'
import type { ProjectStore } from './store.ts'
import { changesOf, readFolder } from './testing/folder-changes.ts'
import { capture, folderEntry, never, PROJECT, put, SECRETS, withCode } from './testing/place.ts'
import { sharedS3Server } from './testing/s3-server.ts'

const servers = sharedS3Server()
after(() => servers.stop())
const ownPrefix = (): string => `shared/${randomBytes(8).toString('hex')}`
const hub = async (config: S3Config): Promise<ProjectStore> =>
  (await openS3Store(config, SECRETS, { hubId: randomBytes(16).toString('hex'), bootedAt: new Date() })).of(PROJECT)

test('what one Hub captures the other verifies, restores and builds upon, in turns', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  const config = server.config(ownPrefix())
  const [one, two] = await Promise.all([hub(config), hub(config)])
  // Both have looked when nothing was there.
  const [mine, theirs] = await Promise.all([
    capture(one, null, changesOf(folderEntry('d'), put('d/one', 'of one'), put('same', 'the same'))),
    capture(two, null, changesOf(put('two', randomBytes(3_000_000)), put('same', 'the same'))),
  ])
  assert.deepEqual(await two.verify(mine.manifestSha256, null, never), { ok: true, damaged: [] })
  assert.deepEqual(await one.verify(theirs.manifestSha256, null, never), { ok: true, damaged: [] })
  const next = await capture(two, mine, changesOf(put('d/two', 'of two'), { kind: 'remove', path: 'same' }))
  const last = await capture(one, next, changesOf(put('d/three', 'of one again')))
  assert.deepEqual(
    (await Array.fromAsync(two.entries(last.manifestSha256))).map(({ path }) => path),
    ['d', 'd/one', 'd/three', 'd/two'],
  )
  const sha256 = createHash('sha256').update('of one again').digest('hex')
  assert.equal(String(await buffer(await two.open(sha256))), 'of one again')

  const folder = await mkdtemp(join(tmpdir(), 'autovibe-shared-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const third = await hub(config)
  for (const [index, store] of [one, two, third].entries()) {
    await mkdir(join(folder, `${index}`))
    await store.restore(last.manifestSha256, join(folder, `${index}`), never)
    assert.deepEqual(await readFolder(join(folder, `${index}`)), await readFolder(join(folder, '0')))
  }
  assert.equal((await listIntents(await openS3(config), projectFolder(PROJECT))).size, 0)
})

test('many captures of both at once are each whole for both', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  const config = server.config(ownPrefix())
  const hubs = await Promise.all([hub(config), hub(config)])
  const all = await Promise.all(
    Array.from({ length: 12 }, (_, index) =>
      capture(hubs[index % 2] as ProjectStore, null, changesOf(put(`f${index}`, randomBytes(10_000)), put('same', 's'))),
    ),
  )
  for (const store of hubs) for (const { manifestSha256 } of all) assert.equal((await store.verify(manifestSha256, null, never)).ok, true)
})

test('a key that several Hubs make at once is one key', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  const config = server.config(ownPrefix())
  const backends = await Promise.all(Array.from({ length: 5 }, () => openS3(config)))
  const keys = await Promise.all(backends.map((backend) => projectKey(backend, SECRETS, PROJECT)))
  for (const key of keys) assert.deepEqual(key, keys[0])
  assert.deepEqual(await projectKey(await openS3(config), SECRETS, PROJECT), keys[0])
})

test('a Hub with another master key cannot read the project, and leaves its key alone', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  const config = server.config(ownPrefix())
  const one = await hub(config)
  const { manifestSha256 } = await capture(one, null, changesOf(put('f', 'f')))
  const stranger = await openS3Store(config, createSecrets(randomBytes(32)), { hubId: randomBytes(16).toString('hex'), bootedAt: new Date() })
  await assert.rejects(stranger.of(PROJECT).verify(manifestSha256, null, never), withCode('checkpoint.corrupt'))
  assert.deepEqual(await stranger.rewrapKeys(), { rewrapped: 0, unreadable: 1 })
  assert.equal((await (await hub(config)).verify(manifestSha256, null, never)).ok, true)
})

test('many Hubs that find an empty bucket at once make one store of it', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  for (let round = 0; round < 5; round++) {
    const config = server.config(ownPrefix())
    const hubs = await Promise.all(Array.from({ length: 4 }, () => hub(config)))
    await Promise.all(hubs.map((store) => capture(store, null, changesOf(put('f', 'f')))))
  }
})
