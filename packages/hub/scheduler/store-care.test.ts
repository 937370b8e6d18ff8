/** The store is looked through while nobody asks: what the disk has lost is said of every checkpoint that needs it, and taken back when it has healed. */
import assert from 'node:assert/strict'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { CheckpointId } from '@autovibe/contract'
import { startTestApi } from '../api/testing/test-api.ts'
import { openFolder } from '../checkpoints/backends/folder.ts'
import { createCheckpointStore } from '../checkpoints/create-checkpoint-store.ts'
import { badDisk } from '../checkpoints/testing/bad-disk.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import { careForStore } from './store-care.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('p')
const machine = await api.machine(project, 'm')

const said: string[] = []
const log: EngineLog = {
  info: (_, message) => said.push(`info: ${message}`),
  warn: (_, message) => said.push(`warn: ${message}`),
  error: (_, message) => said.push(`error: ${message}`),
}
const look = careForStore({ db: api.db, runtime: api.runtime, store: api.store, log, signal: new AbortController().signal })

async function segments(): Promise<string[]> {
  const found = await readdir(join(api.dataDir, 'store'), { recursive: true, withFileTypes: true })
  return found.filter((each) => each.isFile() && each.parentPath.includes('/segments/')).map((each) => join(each.parentPath, each.name))
}

/** A bit of the first record, which holds the contents and begins after the head of 24 bytes. */
async function flip(path: string): Promise<void> {
  const file = await open(path, 'r+')
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 60)
  await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, 60)
  await file.close()
}

async function states(...ids: CheckpointId[]): Promise<string[]> {
  const rows = await api.db.selectFrom('checkpoints').select(['id', 'state', 'state_reason']).where('id', 'in', ids).orderBy('id').execute()
  return rows.map(({ state, state_reason }) => (state_reason === null ? state : `${state}: ${state_reason}`))
}

test('a checkpoint that the disk has damaged is said to be, the others stay verified, and one that has healed is verified again', async () => {
  const sound = await api.checkpoint(machine, { files: { 'project/a.txt': 'sound\n' } })
  const before = await segments()
  const damaged = await api.checkpoint(machine, { files: { 'project/b.txt': 'about to be damaged\n'.repeat(50), 'project/c.txt': 'beside it\n' } })
  await look()
  assert.deepEqual(await states(sound, damaged), ['verified', 'verified'])

  const [path = ''] = (await segments()).filter((each) => !before.includes(each))
  await flip(path)
  await look()
  assert.deepEqual(await states(sound, damaged), ['verified', 'corrupt: Damaged: "project/b.txt", "project/c.txt"'])
  assert.ok(said.includes('error: the disk of the checkpoint store has lost something'))
  const events = await api.db.selectFrom('events').select('data').where('checkpoint_id', '=', damaged).where('type', '=', 'checkpoint.state_changed').execute()
  assert.deepEqual(
    events.map(({ data }) => data['state']),
    ['corrupt'],
  )

  await api.checkpoint(machine, { files: { 'project/b.txt': 'about to be damaged\n'.repeat(50), 'project/d.txt': 'beside it\n' } })
  await look()
  assert.deepEqual(await states(sound, damaged), ['verified', 'verified'])
})

test('what the disk does not give is said as such, makes no checkpoint damaged or sound, and hides no damage of others', async () => {
  const other = await api.machine(await api.project('another'), 'n')
  const took = async (name: string) => {
    const before = await segments()
    const id = await api.checkpoint(other, { files: { [`project/${name}`]: `of ${name}\n`.repeat(50) } })
    const [segment = ''] = (await segments()).filter((each) => !before.includes(each))
    return { id, segment }
  }
  const [verified, corrupt, damaged] = [await took('a'), await took('b'), await took('c')]
  await api.db.updateTable('checkpoints').set({ state: 'corrupt', state_reason: 'Damaged: b' }).where('id', '=', corrupt.id).execute()
  const disk = badDisk(await openFolder(join(api.dataDir, 'store'), { isOwn: false }))
  const notGiven = [verified, corrupt].map(({ segment }) => segment.slice(-32))
  // Their tables, which are read from the end, can be had.
  disk.isBad = (name, from) => from >= 0 && notGiven.includes(name.slice(-32))
  const store = await createCheckpointStore({ backend: disk.backend, secrets: api.secrets, isOwn: true })
  await flip(damaged.segment)
  said.length = 0
  const lookAgain = careForStore({ db: api.db, runtime: api.runtime, store, log, signal: new AbortController().signal })
  // Each project has its turn.
  for (let turn = 0; turn < 2; turn++) await lookAgain()
  assert.deepEqual(await states(verified.id, corrupt.id, damaged.id), ['verified', 'corrupt: Damaged: b', 'corrupt: Damaged: "project/c"'])
  assert.deepEqual(
    new Set(said),
    new Set([
      'error: the disk of the checkpoint store does not give what lies on it',
      'error: the disk of the checkpoint store has lost something',
      'error: the store of checkpoints could not be collected',
      'error: a checkpoint could not be read',
      'error: a checkpoint is damaged',
    ]),
  )
})
