/** A checkpoint is looked at again when somebody asks: its state and its events say what was found, and it may heal. */
import assert from 'node:assert/strict'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { CheckpointId, Operation, OperationRef } from '@autovibe/contract'
import { startTestApi } from '../api/testing/test-api.ts'
import { openFolder } from '../checkpoints/backends/folder.ts'
import { createCheckpointStore } from '../checkpoints/create-checkpoint-store.ts'
import { openScratch, type Scratch } from '../checkpoints/scratch.ts'
import { badDisk } from '../checkpoints/testing/bad-disk.ts'
import { testClock, testEngine } from './engine/testing.ts'
import { registry } from './registry.ts'

const api = await startTestApi()
after(() => api.close())
const machine = await api.machine(await api.project('p'), 'm')
const scratch = await openScratch(join(api.dataDir, 'scratch'))
const engineOver = (lent: Scratch, store = api.store) =>
  testEngine({ db: api.db, registry, clock: testClock(), ports: { db: api.db, runtime: api.runtime, store, scratch: lent } })
const engine = engineOver(scratch)

async function verify(id: CheckpointId, restore: boolean, by = engine): Promise<Operation['state']> {
  const { status, body } = await api.call<OperationRef>('POST', `/v1/checkpoints/${id}/verify`, { body: { restore } })
  assert.equal(status, 202)
  await by.settle()
  return (await by.operation(body.operation_id)).state
}

const found = (id: CheckpointId) =>
  api.db.selectFrom('checkpoints').select(['state', 'state_reason', 'verified_at']).where('id', '=', id).executeTakeFirstOrThrow()

async function told(id: CheckpointId): Promise<unknown[]> {
  const events = await api.db.selectFrom('events').select(['type', 'data']).where('checkpoint_id', '=', id).orderBy('seq').execute()
  const figures = events.filter(({ type }) => type.startsWith('checkpoint.'))
  return figures.map(({ type, data }) => (type === 'checkpoint.checked' ? [data['ok'], data['restored'], data['files'], data['bytes']] : data['state']))
}

test('a sound checkpoint stays verified, now as of today, and the event says how much was restored', async () => {
  const id = await api.checkpoint(machine, { files: { 'project/a.txt': 'one\n', 'project/b.txt': 'three\n' } })
  const before = await found(id)
  assert.equal(await verify(id, false), 'done')
  assert.equal(await verify(id, true), 'done')
  const now = await found(id)
  assert.deepEqual([now.state, now.state_reason], ['verified', null])
  assert.notDeepEqual(now.verified_at, before.verified_at)
  assert.deepEqual(await told(id), [
    [true, false, 0, 0],
    [true, true, 2, 10],
  ])
  assert.deepEqual(await readdir(scratch.place), [])
})

test('a damaged one becomes corrupt with its files named, is not restored, and is verified again when it has healed', async () => {
  const others = new Set(await segments())
  const id = await api.checkpoint(machine, { files: { 'project/lost.txt': 'about to be lost\n'.repeat(50) } })
  const [path = ''] = (await segments()).filter((each) => !others.has(each))
  await flip(path)
  assert.equal(await verify(id, true), 'done')
  const { state, state_reason } = await found(id)
  assert.deepEqual([state, state_reason], ['corrupt', 'Damaged: "project/lost.txt"'])
  await flip(path)
  assert.equal(await verify(id, true), 'done')
  assert.deepEqual([(await found(id)).state, (await found(id)).state_reason], ['verified', null])
  assert.deepEqual(await told(id), [[false, false, 0, 0], 'corrupt', [true, true, 1, 850], 'verified'])
})

test('one whose tree comes back otherwise is corrupt, with what differs', async () => {
  const id = await api.checkpoint(machine, { files: { 'project/a.txt': 'one\n' } })
  const { project_id } = await api.db.selectFrom('checkpoints').select('project_id').where('id', '=', id).executeTakeFirstOrThrow()
  const project = api.store.of(project_id)
  const { restore } = project
  // As a restore that forgets a file.
  Object.assign(project, {
    restore: async (manifest: string, folder: string, signal: AbortSignal) => {
      await restore(manifest, folder, signal)
      await rm(join(folder, 'project/a.txt'))
    },
  })
  assert.equal(await verify(id, true), 'done')
  Object.assign(project, { restore })
  assert.match((await found(id)).state_reason ?? '', /^Restored otherwise: .*"project\/a.txt" is missing/)
})

test('without the room to restore it the operation fails, and the checkpoint is what it was', async () => {
  const id = await api.checkpoint(machine, { files: { 'project/a.txt': 'one\n' } })
  const full = engineOver({ ...scratch, room: async () => ({ freeBytes: 0, totalBytes: 1e9, freeFiles: null }) })
  assert.equal(await verify(id, true, full), 'failed')
  const operation = await api.db.selectFrom('operations').select('error').where('checkpoint_id', '=', id).executeTakeFirstOrThrow()
  assert.deepEqual([operation.error?.code, operation.error?.step], ['substrate.disk_full', 'restore'])
  assert.match(operation.error?.fix ?? '', /without --restore/)
  assert.equal((await found(id)).state, 'verified')
})

test('one that the disk does not give is neither damaged nor sound: the operation fails with what the disk said, after a few attempts', async () => {
  const others = new Set(await segments())
  const id = await api.checkpoint(machine, { files: { 'project/kept.txt': 'not given\n'.repeat(50) } })
  const [path = ''] = (await segments()).filter((each) => !others.has(each))
  const before = await found(id)
  const disk = badDisk(await openFolder(join(api.dataDir, 'store'), { isOwn: false }))
  disk.isBad = (name, from) => from >= 0 && path.endsWith(name)
  const bad = engineOver(scratch, await createCheckpointStore({ backend: disk.backend, secrets: api.secrets, isOwn: true }))
  assert.equal(await verify(id, true, bad), 'failed')
  const { error } = await api.db.selectFrom('operations').select('error').where('checkpoint_id', '=', id).executeTakeFirstOrThrow()
  assert.deepEqual([error?.code, error?.step], ['substrate.failed', 'verify'])
  assert.match(error?.message ?? '', /EIO/)
  assert.deepEqual([await found(id), await told(id)], [before, []])
  disk.isBad = () => false
  assert.equal(await verify(id, true, bad), 'done')
  assert.deepEqual(await told(id), [[true, true, 1, 500]])
})

test('what is not kept, not stored yet or being looked at already is refused with what to do', async () => {
  const id = await api.checkpoint(machine)
  for (const [state, code, fix] of [
    ['pending', 'checkpoint.not_verified', /Wait/],
    ['capturing', 'checkpoint.not_verified', /Wait/],
    ['stored', 'checkpoint.not_verified', /Wait/],
    ['failed', 'conflict.state', /checkpoint list/],
    ['expired', 'conflict.state', /checkpoint list/],
  ] as const) {
    await api.db.updateTable('checkpoints').set({ state }).where('id', '=', id).execute()
    const { status, body } = await api.call('POST', `/v1/checkpoints/${id}/verify`, { body: {} })
    assert.deepEqual([status, body.code], [409, code], state)
    assert.match(body.fix ?? '', fix)
  }
  const sound = await api.checkpoint(machine, { files: {} })
  assert.equal((await api.call('POST', `/v1/checkpoints/${sound}/verify`, { body: {} })).status, 202)
  assert.equal((await api.call('POST', `/v1/checkpoints/${sound}/verify`, { body: { restore: true } })).body.code, 'conflict.busy')
  await engine.settle()
  assert.equal((await api.call('POST', `/v1/checkpoints/${sound}/verify`, { body: { restore: 'yes' } })).status, 400)
})

async function segments(): Promise<string[]> {
  const all = await readdir(join(api.dataDir, 'store'), { recursive: true, withFileTypes: true })
  return all.filter((each) => each.isFile() && each.parentPath.includes('/segments')).map((each) => join(each.parentPath, each.name))
}

/** Behind the head of 24 bytes the contents begin; twice is as before. */
async function flip(path: string): Promise<void> {
  const file = await open(path, 'r+')
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 60)
  await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, 60)
  await file.close()
}
