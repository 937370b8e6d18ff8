/** Retention: rules of a project, the look before anything goes, pins, and what the store takes. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type Checkpoint, DEFAULT_RETENTION, type Operation, type ProjectSettings, type ProjectStorage, type RetentionPlan } from '@autovibe/contract'
import { readDiff } from './testing/read-diff.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('p')
const machine = await api.machine(project, 'calm-owl')
const start = await api.checkpoint(machine, { files: { 'project/a': 'one\n'.repeat(1000) }, trigger: 'start' })
const middle = await api.checkpoint(machine, { files: { 'project/a': 'one\n'.repeat(1000), 'project/b': 'two\n' }, parent: start })
const tip = await api.checkpoint(machine, { files: { 'project/a': 'three\n' }, parent: middle })
const url = `/v1/projects/${project}/retention`
const STRICT = { keep_last: 1, hourly: 0, daily: 0, weekly: 0 }
const look = async (body: object) => (await api.call<RetentionPlan>('POST', url, { body })).body
const expireOperations = () => api.db.selectFrom('operations').selectAll().where('kind', '=', 'expire-checkpoints').execute()

test('by default all that is not far back stays', async () => {
  const plan = await look({})
  assert.deepEqual([plan.rules, plan.expire.total, plan.keep.total, plan.operation_ids], [DEFAULT_RETENTION, 0, 3, []])
})

test('a look names what would go and why the rest stays, and changes nothing', async () => {
  const { expire, keep, operation_ids, rules } = await look({ rules: STRICT })
  assert.deepEqual(rules, STRICT)
  assert.deepEqual(
    expire.items.map(({ id, machine_name, reasons }) => [id, machine_name, reasons.length]),
    [[middle, 'calm-owl', 1]],
  )
  assert.deepEqual(
    keep.items.map(({ id, reasons }) => [id, reasons]),
    [
      [tip, ['it is one of the last 1 of calm-owl']],
      [start, ['diffs of later checkpoints that stay begin there']],
    ],
  )
  assert.deepEqual([operation_ids, await expireOperations()], [[], []])
  const short = await look({ rules: STRICT, limit: 1 })
  assert.deepEqual([short.keep.total, short.keep.items.length], [2, 1])
})

test('a pinned checkpoint stays, until it is unpinned', async () => {
  const pinned = await api.call<Checkpoint>('POST', `/v1/checkpoints/${middle}/pin`, { key: api.keys.user })
  assert.deepEqual([pinned.status, pinned.body.pinned], [200, true])
  const { keep, expire } = await look({ rules: STRICT })
  assert.deepEqual([expire.total, keep.items.find(({ id }) => id === middle)?.reasons], [0, ['it is pinned']])
  assert.equal((await api.call<Checkpoint>('POST', `/v1/checkpoints/${middle}/unpin`)).body.pinned, false)
  assert.equal((await look({ rules: STRICT })).expire.total, 1)
  assert.equal((await api.call('POST', `/v1/checkpoints/${api.runtime.newId('checkpoint')}/pin`)).status, 404)
})

test('the rules of a project are set, completed by the default ones, and taken back', async () => {
  const { status, body } = await api.call<ProjectSettings>('PUT', url, { body: { keep_last: 3, hourly: 0 } })
  assert.deepEqual([status, body.retention], [200, { ...DEFAULT_RETENTION, keep_last: 3, hourly: 0 }])
  assert.deepEqual((await look({})).rules, body.retention)
  assert.deepEqual((await look({ rules: { keep_last: 2 } })).rules, { ...body.retention, keep_last: 2 })
  assert.deepEqual((await api.call<ProjectSettings>('PUT', url, { body: {} })).body.retention, DEFAULT_RETENTION)
  for (const wrong of [{ keep_last: 0 }, { hourly: -1 }, { daily: 0.5 }, { weekly: 1_000_000 }, { yearly: 1 }])
    assert.deepEqual((await api.call('PUT', url, { body: wrong })).body.code, 'request.invalid', JSON.stringify(wrong))
})

test('to apply asks for the operation that does it', async () => {
  const { operation_ids, expire } = await look({ rules: STRICT, apply: true })
  assert.equal(operation_ids.length, 1)
  const { body } = await api.call<Operation>('GET', `/v1/operations/${operation_ids[0]}`)
  assert.deepEqual([body.kind, body.input], ['expire-checkpoints', { projectId: project, rules: STRICT, checkpointIds: expire.items.map(({ id }) => id) }])
})

test('what is expired is refused with the way on, and its children are still read', async () => {
  await api.db.updateTable('checkpoints').set({ state: 'expired', snapshot: null }).where('id', '=', middle).execute()
  await api.store.of(project).forget(middle)
  const asks = [
    () => api.call('POST', `/v1/checkpoints/${middle}/fork`),
    () => api.call('POST', `/v1/checkpoints/${middle}/pin`),
    () => api.call('GET', `/v1/checkpoints/${middle}/diff`),
    () => api.call('GET', `/v1/checkpoints/${tip}/diff?against=${middle}`),
    () => api.call('GET', `/v1/checkpoints/${middle}/content?path=project/a`),
  ]
  for (const ask of asks) {
    const { status, body } = await ask()
    assert.deepEqual([status, body.code], [410, 'checkpoint.gone'])
    assert.match(body.fix ?? '', new RegExp(`autovibe checkpoint list ${machine}`))
  }
  assert.equal((await readDiff(api, `/v1/checkpoints/${tip}/diff`)).against_id, start)
  assert.deepEqual((await look({ rules: STRICT })).expire.items, [])
})

test('what a project takes is told as its trees, its contents and its store', async () => {
  const { body } = await api.call<ProjectStorage>('GET', `/v1/projects/p/storage`, { key: api.keys.user })
  assert.deepEqual([body.checkpoints, body.logical_bytes, body.unique_bytes], [2, 4006, 4010])
  assert.deepEqual(body.stored_bytes, (await api.store.of(project).size()).storedBytes)
  const none = await api.call<ProjectStorage>('GET', `/v1/projects/${await api.project('empty')}/storage`)
  assert.deepEqual(none.body.logical_bytes + none.body.stored_bytes + none.body.unique_bytes, 0)
})
