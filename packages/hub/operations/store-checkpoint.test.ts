/** A checkpoint whose parent the store's disk does not give is stored whole, from its own snapshot. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startTestApi } from '../api/testing/test-api.ts'
import { openFolder } from '../checkpoints/backends/folder.ts'
import { createCheckpointStore } from '../checkpoints/create-checkpoint-store.ts'
import { badDisk } from '../checkpoints/testing/bad-disk.ts'
import { changesOf } from '../checkpoints/testing/folder-changes.ts'
import { folderEntry, put } from '../checkpoints/testing/place.ts'
import type { TreeChange } from '../substrates/substrate.ts'
import { testClock, testEngine } from './engine/testing.ts'
import { registry } from './registry.ts'
import { enqueueStore } from './steps/checkpoint-storing.ts'

const api = await startTestApi()
after(() => api.close())

/** The snapshots of a machine whose file `a` has changed since the parent, read as a substrate gives them. */
const ADDED: readonly TreeChange[] = [put('project/a.txt', 'two\n')]
const WHOLE: readonly TreeChange[] = [folderEntry('home'), folderEntry('project'), ...ADDED, put('project/b.txt', 'kept\n')]
const substrate = { changes: (_snapshot: string, parent: string | null) => changesOf(...(parent === null ? WHOLE : ADDED)) }

test('what cannot be built upon because the disk does not give it is stored anew, and is verified', async () => {
  const machine = await api.machine(await api.project('p'), 'm')
  const parent = await api.checkpoint(machine, { files: { 'project/a.txt': 'one\n', 'project/b.txt': 'kept\n' } })
  const child = await api.checkpoint(machine, { parent })
  await api.db.updateTable('checkpoints').set({ snapshot: 'before' }).where('id', '=', parent).execute()
  await api.db.updateTable('checkpoints').set({ snapshot: 'after', state: 'capturing' }).where('id', '=', child).execute()
  const disk = badDisk(await openFolder(join(api.dataDir, 'store'), { isOwn: false }))
  const store = await createCheckpointStore({ backend: disk.backend, secrets: api.secrets, isOwn: true })
  const bad = new Set<string>()
  for await (const { name } of disk.backend.list('')) if (name.includes('/segments/')) bad.add(name)
  disk.isBad = (name, from) => from >= 0 && bad.has(name)
  const engine = testEngine({ db: api.db, registry, clock: testClock(), ports: { db: api.db, runtime: api.runtime, store, substrate } })
  await api.transaction((tx) => enqueueStore(tx, api.runtime, child))
  await engine.settle()
  const { state, manifest_sha256, project_id } = await api.db.selectFrom('checkpoints').selectAll().where('id', '=', child).executeTakeFirstOrThrow()
  assert.equal(state, 'verified')
  const entries = await Array.fromAsync(store.of(project_id).entries(manifest_sha256 ?? ''))
  assert.deepEqual(
    entries.map(({ path }) => path),
    ['home', 'project', 'project/a.txt', 'project/b.txt'],
  )
  // Nothing is said of the parent: its bytes may be there.
  assert.equal((await api.db.selectFrom('checkpoints').select('state').where('id', '=', parent).executeTakeFirstOrThrow()).state, 'verified')
})
