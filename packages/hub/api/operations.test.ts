/** Operations: followed to their end, cancelled, and tried again when stuck. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Operation, OperationId, OperationRef } from '@autovibe/contract'
import { recordEvent } from '../database/events.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('p')

async function stopping(name: string): Promise<OperationId> {
  await api.machine(project, name, 'ready')
  return (await api.call<OperationRef>('POST', `/v1/machines/${name}/stop`)).body.operation_id
}

const setState = (id: OperationId, state: Operation['state'], ended: boolean) =>
  api.transaction(async (tx) => {
    await tx
      .updateTable('operations')
      .set({ state, ended_at: ended ? api.runtime.now() : null })
      .where('id', '=', id)
      .execute()
    await recordEvent(tx, api.runtime, { type: 'operation.finished', operation_id: id })
  })

test('a wait ends when the operation has ended, or is stuck', async () => {
  for (const [state, ended] of [
    ['done', true],
    ['failed', true],
    ['cancelled', true],
    ['stuck', false],
  ] as const) {
    const id = await stopping(`ends-${state}`)
    const waiting = api.call<Operation>('GET', `/v1/operations/${id}/wait?for=ended&timeout=60`)
    await setState(id, state, ended)
    assert.equal((await waiting).body.state, state)
  }
})

test('a cancel is marked on the operation; one that has ended, or that must be finished, cannot be cancelled', async () => {
  const finished = await api.call('POST', `/v1/operations/${await stopping('finished-one')}/cancel`)
  assert.deepEqual([finished.status, finished.body.code], [409, 'conflict.state'])
  await api.machine(project, 'cancelled-one', 'stopped')
  const id = (await api.call<OperationRef>('POST', '/v1/machines/cancelled-one/start')).body.operation_id
  const asked = await api.call<Operation>('POST', `/v1/operations/${id}/cancel`, { key: api.keys.user })
  assert.deepEqual([asked.status, asked.body.cancel_requested], [202, true])
  await setState(id, 'cancelled', true)
  const late = await api.call('POST', `/v1/operations/${id}/cancel`)
  assert.deepEqual([late.status, late.body.code], [409, 'conflict.state'])
})

test('only a stuck operation is tried again', async () => {
  const id = await stopping('stuck-one')
  const early = await api.call('POST', `/v1/operations/${id}/retry`)
  assert.deepEqual([early.status, early.body.code], [409, 'conflict.state'])
  await setState(id, 'stuck', false)
  const { status, body } = await api.call<Operation>('POST', `/v1/operations/${id}/retry`)
  assert.equal(status, 202)
  assert.notEqual(body.state, 'stuck')
})
