/** Which damaged checkpoints make the Hub unwell. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import type { CheckpointId, MachineId } from '@autovibe/contract'
import { startTestApi } from './api/testing/test-api.ts'
import { damagedCheckpoints } from './damaged-checkpoints.ts'
import { freshDatabase } from './database/testing.ts'
import { healthOf } from './health.ts'
import type { Substrate } from './substrates/substrate.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('p')
const machine = await api.machine(project, 'm')
let damaged: CheckpointId

beforeEach(async () => {
  await api.db.deleteFrom('checkpoints').execute()
  await api.checkpoint(machine)
  damaged = await api.checkpoint(machine)
  await api.db.updateTable('checkpoints').set({ state: 'corrupt' }).where('id', '=', damaged).execute()
})

const look = async () => (await damagedCheckpoints(api.pool)).detail
const standOn = (id: MachineId, head: CheckpointId | null) => api.db.updateTable('machines').set({ head_checkpoint_id: head }).where('id', '=', id).execute()

test('damage that concerns nobody is told, and is no reason to be unwell', async () => {
  assert.deepEqual(await damagedCheckpoints(api.pool), { name: 'checkpoints', ok: true, detail: '1 damaged, none of them needed' })
  await api.db.updateTable('checkpoints').set({ state: 'verified' }).execute()
  assert.deepEqual(await damagedCheckpoints(api.pool), { name: 'checkpoints', ok: true, detail: 'none is damaged' })
})

test('one that is pinned, that a machine stands on, or that a fork or rollback goes to is needed', async () => {
  await api.db.updateTable('checkpoints').set({ pinned: true }).where('id', '=', damaged).execute()
  assert.deepEqual(await damagedCheckpoints(api.pool), { name: 'checkpoints', ok: false, detail: `1 damaged, 1 of them needed: ${damaged}` })
  await api.db.updateTable('checkpoints').set({ pinned: false }).execute()
  await standOn(machine, damaged)
  assert.match(await look(), /1 of them needed/)
  await standOn(machine, null)
  const gone = await api.machine(project, 'gone', 'destroyed')
  await standOn(gone, damaged)
  assert.match(await look(), /none of them needed/)
  const fork = { id: api.runtime.newId('operation'), kind: 'fork-checkpoint', input: JSON.stringify({ from: damaged }), steps: ['reserve'] }
  const insert = `insert into operations (id, kind, version, input, steps, exclusive, state, created_at, wake_at) values ($1, $2, 1, $3, $4, false, 'pending', now(), now())`
  await api.pool.query(insert, [fork.id, fork.kind, fork.input, fork.steps])
  assert.match(await look(), /1 of them needed/)
  await api.pool.query(`update operations set state = 'done', ended_at = now() where id = $1`, [fork.id])
  assert.match(await look(), /none of them needed/)
})

test('the Hub is degraded by what is needed and damaged, and by a database that does not tell', async () => {
  const substrate = { capabilities: () => ({ summary: 'all namespaces' }) } as unknown as Substrate
  const health = healthOf(api.pool, substrate, '1.0.0', new Date(0))
  assert.equal((await health()).status, 'ok')
  await standOn(machine, damaged)
  const { status, checks } = await health()
  assert.deepEqual([status, checks.find(({ ok }) => !ok)?.name], ['degraded', 'checkpoints'])
  const closed = await freshDatabase()
  await closed.close()
  const without = await healthOf(closed.pool, substrate, '1.0.0', new Date(0))()
  assert.deepEqual([without.status, without.checks.filter(({ ok }) => !ok).map(({ name }) => name)], ['degraded', ['database', 'checkpoints', 'archives']])
})
