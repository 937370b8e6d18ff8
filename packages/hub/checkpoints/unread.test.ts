/** A disk that does not give what lies on it, or takes nothing more: that is said as what it is, and is neither damage nor soundness. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { openFolder } from './backends/folder.ts'
import { createCheckpointStore } from './create-checkpoint-store.ts'
import type { Kind } from './segments/format.ts'
import type { ProjectStore } from './store.ts'
import { isUnread } from './store-errors.ts'
import { type BadDisk, badDisk } from './testing/bad-disk.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, damage, type Kept, locate, never, PROJECT, put, SECRETS, setUp, withCode } from './testing/place.ts'
import { noise } from './testing/small-life.ts'

const LARGE = noise(1_500_000)
const sha256Of = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')
/** As what it is, and worth another attempt. */
const unread = (error: unknown): boolean => withCode('substrate.failed', true)(error) && isUnread(error) && error.message.includes('EIO')

interface Given {
  readonly dataDir: string
  readonly disk: BadDisk
  readonly store: ProjectStore
  readonly kept: Kept
  open(): Promise<ProjectStore>
  folder(name: string): string
  /** From now on the disk does not give the record that holds this object. */
  spoil(kind: Kind, sha256: string): Promise<void>
}

async function setUpDisk(t: TestContext): Promise<Given> {
  const { dataDir, folder } = await setUp(t)
  const disk = badDisk(await openFolder(join(dataDir, 'store'), { isOwn: true }))
  const open = async (): Promise<ProjectStore> => (await createCheckpointStore({ backend: disk.backend, secrets: SECRETS, isOwn: true })).of(PROJECT)
  const store = await open()
  const kept = await capture(store, null, changesOf(put('small', 'small'), put('large', LARGE)))
  const spoil = async (kind: Kind, sha256: string): Promise<void> => {
    const { name: bad, offset, length } = await locate(dataDir, kind, sha256)
    disk.isBad = (name, from, until) => name === bad && from >= 0 && from < offset + length && until > offset
  }
  return { dataDir, disk, store, kept, open, folder, spoil }
}

for (const [what, kind, sha256] of [
  ['a content', 'content', () => sha256Of('small')],
  ['the list of a large content', 'list', () => sha256Of(LARGE)],
  ['a node of the manifest', 'node', ({ manifestSha256 }: Kept) => manifestSha256],
] as const) {
  test(`${what} that the disk does not give is not said to be damaged, and all is well when it gives it again`, async (t) => {
    const { disk, store, kept, open, spoil } = await setUpDisk(t)
    await spoil(kind, sha256(kept))
    for (const one of [store, await open()]) {
      for (let attempt = 0; attempt < 2; attempt++) await assert.rejects(one.verify(kept.manifestSha256, null, never), unread)
      await assert.rejects(one.verify(kept.manifestSha256, '0'.repeat(64), never), unread)
    }
    disk.isBad = () => false
    assert.deepEqual(await store.verify(kept.manifestSha256, null, never), { ok: true, damaged: [] })
  })
}

test('a checkpoint that the disk does not give is not restored, and says why', async (t) => {
  const { disk, store, kept, spoil, folder } = await setUpDisk(t)
  await spoil('content', sha256Of('small'))
  await assert.rejects(store.restore(kept.manifestSha256, folder('data'), never), unread)
  await assert.rejects(async () => buffer(await store.open(sha256Of('small'))), unread)
  disk.isBad = () => false
  assert.equal(String(await buffer(await store.open(sha256Of('small')))), 'small')
})

test('what is damaged in one copy and not given of the other is not known to be lost; when it is given, it is read', async (t) => {
  const { dataDir, disk, store, open } = await setUpDisk(t)
  // Alone in its record, so that nothing else is hurt with it.
  const kept = await capture(store, null, changesOf(put('alone', 'alone')))
  const hurt = await locate(dataDir, 'content', sha256Of('alone'))
  await damage(dataDir, 'content', sha256Of('alone'), 'itself')
  assert.deepEqual((await store.verify(kept.manifestSha256, null, never)).damaged, ['alone'])
  await capture(store, null, changesOf(put('again', 'alone')))
  const both = await open()
  const isRecord = (name: string, from: number): boolean => name.includes('/segments/') && from >= 0
  disk.isBad = (name, from) => isRecord(name, from) && name !== hurt.name
  await assert.rejects(both.verify(kept.manifestSha256, null, never), unread)
  disk.isBad = () => false
  assert.deepEqual(await both.verify(kept.manifestSha256, null, never), { ok: true, damaged: [] })
  // And the other way round: one copy is sound, whatever the disk says of the other.
  disk.isBad = (name, from, until) => isRecord(name, from) && name === hurt.name && from < hurt.offset + hurt.length && until > hurt.offset
  assert.deepEqual(await (await open()).verify(kept.manifestSha256, null, never), { ok: true, damaged: [] })
})

test('what was misread once is read anew by the next look, and not from memory', async (t) => {
  const { dataDir, kept, open } = await setUpDisk(t)
  const path = join(dataDir, 'store', (await locate(dataDir, 'node', kept.manifestSha256)).name)
  const sound = await readFile(path)
  await damage(dataDir, 'node', kept.manifestSha256, 'itself')
  const store = await open()
  const paths = async (): Promise<string[]> => (await Array.fromAsync(store.entries(kept.manifestSha256))).map(({ path: each }) => each)
  await assert.rejects(paths(), withCode('checkpoint.corrupt', false))
  await writeFile(path, sound)
  assert.deepEqual(await paths(), ['large', 'small'])
})

test('what the disk did not give is stored again by whoever brings it again', async (t) => {
  const { store, open, spoil } = await setUpDisk(t)
  const first = await capture(store, null, changesOf(put('one', 'only one')))
  await spoil('content', sha256Of('only one'))
  await assert.rejects(store.verify(first.manifestSha256, null, never), unread)
  const later = await capture(store, null, changesOf(put('again', 'only one')))
  for (const one of [store, await open()])
    for (const { manifestSha256 } of [later, first]) assert.equal((await one.verify(manifestSha256, null, never)).ok, true)
})

test('a scrub says which segments the disk does not give, calls none of them damaged, and reads the others', async (t) => {
  const { dataDir, disk, store, kept } = await setUpDisk(t)
  await capture(store, kept, changesOf(put('more', 'more')))
  const { name: bad } = await locate(dataDir, 'content', sha256Of('small'))
  disk.isBad = (name) => name === bad
  const { problems, unread: notGiven, segments } = await store.scrub(1e12, never)
  assert.deepEqual([problems, segments], [[], 1])
  assert.match(notGiven.join(), new RegExp(`^The segment ${bad.slice(-32)} could not be read: .*EIO`))
})

test('a full disk keeps nobody from verifying and scrubbing, which write nothing', async (t) => {
  const { disk, open, kept } = await setUpDisk(t)
  disk.isFull = true
  const { writes } = disk
  const again = await open()
  assert.deepEqual(await again.verify(kept.manifestSha256, null, never), { ok: true, damaged: [] })
  assert.deepEqual((await again.scrub(1e12, never)).problems, [])
  assert.equal(disk.writes, writes)
})

test('nothing is collected while the disk does not give what a kept checkpoint needs', async (t) => {
  const { disk, store, kept, spoil } = await setUpDisk(t)
  const other = await capture(store, null, changesOf(put('other', 'other')))
  await store.forget(other.checkpointId)
  await spoil('node', kept.manifestSha256)
  await assert.rejects(store.collect(never), unread)
  disk.isBad = () => false
  assert.deepEqual(await store.verify(kept.manifestSha256, null, never), { ok: true, damaged: [] })
})
