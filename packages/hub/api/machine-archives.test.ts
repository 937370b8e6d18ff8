/** Archives at the API: listed by what is there, shown, and refused where nothing takes any. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { MachineArchive, MachineArchiveState, Page, Problem } from '@autovibe/contract'
import { changeArchive, insertArchive, lockArchive } from '../operations/steps/archive-state.ts'
import { lockMachine } from '../operations/steps/machine-state.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('archived')
const machineId = await api.machine(project, 'whole', 'ready')
const checkpointId = await api.checkpoint(machineId)

const list = async (query = ''): Promise<MachineArchive[]> => (await api.call<Page<MachineArchive>>('GET', `/v1/archives${query}`)).body.items

async function archiveThatIs(...states: readonly MachineArchiveState[]) {
  return api.db.transaction().execute(async (tx) => {
    const id = await insertArchive(tx, api.runtime, await lockMachine(tx, machineId), checkpointId, 'pbs')
    const stored = { volume: `pbs:backup/vm/900001/${id}`, size_bytes: 7n, verification: 'pending' as const, stored_at: api.runtime.now() }
    for (const state of states) await changeArchive(tx, api.runtime, await lockArchive(tx, id), state, state === 'stored' ? stored : {})
    return id
  })
}

test('without any the list is empty, and with some it shows those that are there, on their way, or failed since, newest first', async () => {
  assert.deepEqual(await list(), [])
  const earlier = await archiveThatIs('failed')
  const stored = await archiveThatIs('stored')
  const removed = await archiveThatIs('stored', 'removing', 'removed')
  const failed = await archiveThatIs('failed')
  const taking = await archiveThatIs()
  assert.deepEqual(
    (await list()).map(({ id }) => id),
    [taking, failed, stored],
    'one that failed before another came about is no news',
  )
  assert.deepEqual(
    (await list(`?state=removed&machine=${machineId}`)).map(({ id }) => id),
    [removed],
  )
  assert.deepEqual(
    (await list('?state=failed')).map(({ id }) => id),
    [failed, earlier],
  )
  const { body } = await api.call<MachineArchive>('GET', `/v1/archives/${stored}`)
  assert.deepEqual(
    [body.state, body.machine_name, body.checkpoint_id, body.size_bytes, body.verification, body.missing],
    ['stored', 'whole', checkpointId, 7, 'pending', false],
  )
})

test('on this host an archive is refused with what it is, and what there is instead', async () => {
  for (const path of [`/v1/machines/${machineId}/archives`, `/v1/archives/${(await list())[0]?.id}/remove`]) {
    const { status, body } = await api.call<Problem>('POST', path, { body: {} })
    assert.deepEqual([status, body.code], [409, 'conflict.state'])
    assert.match(body.detail, /copies of whole virtual machines that Proxmox makes/)
    assert.match(body.fix ?? '', /share-a-store\.md/)
  }
})

test('an archive that nobody has taken is not found', async () => {
  const { status } = await api.call<Problem>('GET', `/v1/archives/${api.runtime.newId('machineArchive')}`)
  assert.equal(status, 404)
})
