/** Checkpoints: what changed, the bytes of a file, waits and forks. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { BudgetId, Checkpoint, ForkedCheckpoint, Operation, Page } from '@autovibe/contract'
import { readDiff } from './testing/read-diff.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('p')
const machine = await api.machine(project, 'm')
const [oldSource, newSource] = ['a'.repeat(64), 'b'.repeat(64)]
for (const sha256 of [oldSource, newSource]) {
  const commit = sha256.slice(0, 40)
  await api.db
    .insertInto('sources')
    .values({ sha256, bytes: 1n, commit, base_commit: commit, branch: null, dirty: false, imported_at: api.runtime.now() })
    .execute()
}

const root = await api.checkpoint(machine, { files: { 'project/a.txt': 'very old\n' }, trigger: 'start', source: oldSource })
const start = await api.checkpoint(machine, { files: { 'project/a.txt': 'one\n' }, trigger: 'start', source: newSource, parent: root })
const middle = await api.checkpoint(machine, { files: { 'project/a.txt': 'two\n' }, source: newSource, parent: start })
const tip = await api.checkpoint(machine, {
  files: { 'project/a.txt': 'three\n', 'project/<b>.html': '<script>', 'home/secret': 's' },
  source: newSource,
  parent: middle,
})
const pending = await api.checkpoint(machine, { parent: tip })

test('a diff starts at the first checkpoint of the line with the same source, unless told otherwise', async () => {
  const body = await readDiff(api, `/v1/checkpoints/${tip}/diff`)
  assert.deepEqual([body.against_id, body.source_commit], [start, newSource.slice(0, 40)])
  assert.deepEqual(
    body.files.map(({ path, status }) => [path, status]),
    [
      ['<b>.html', 'added'],
      ['a.txt', 'changed'],
    ],
  )
  assert.match(body.files[1]?.patch ?? '', /-one\n\+three/)
  const other = await readDiff(api, `/v1/checkpoints/${tip}/diff?against=${middle}`)
  assert.match(other.files[1]?.patch ?? '', /-two\n\+three/)
})

test('without a checkpoint of the same source the diff starts at the root of the line', async () => {
  const lonely = await api.checkpoint(machine, { files: { 'project/a.txt': 'x\n' }, parent: root })
  assert.equal((await readDiff(api, `/v1/checkpoints/${lonely}/diff`)).against_id, root)
  const self = await readDiff(api, `/v1/checkpoints/${root}/diff`)
  assert.deepEqual([self.against_id, self.files], [root, []])
})

test('what is not verified is neither compared, read nor forked', async () => {
  const asks = [
    () => api.call('GET', `/v1/checkpoints/${pending}/diff`),
    () => api.call('GET', `/v1/checkpoints/${tip}/diff?against=${pending}`),
    () => api.call('GET', `/v1/checkpoints/${pending}/content?path=project/a.txt`),
    () => api.call('POST', `/v1/checkpoints/${pending}/fork`),
  ]
  for (const ask of asks) {
    const { status, body } = await ask()
    assert.deepEqual([status, body.code], [409, 'checkpoint.not_verified'])
  }
})

test('the bytes of a file come as a download that no browser runs', async () => {
  const { status, headers, text } = await api.call('GET', `/v1/checkpoints/${tip}/content?path=${encodeURIComponent('project/<b>.html')}`)
  assert.deepEqual([status, text, headers['content-type'], headers['x-content-type-options']], [200, '<script>', 'application/octet-stream', 'nosniff'])
  for (const path of ['project/none', '../../etc/passwd', '/etc/passwd'])
    assert.equal((await api.call('GET', `/v1/checkpoints/${tip}/content?path=${encodeURIComponent(path)}`)).status, 404, path)
  assert.equal((await api.call('GET', `/v1/checkpoints/${tip}/content?path=project`)).status, 400)
})

test('a wait ends when the checkpoint is verified, or when it never will be', async () => {
  const waiting = api.call<Checkpoint>('GET', `/v1/checkpoints/${pending}/wait?for=verified&timeout=60`)
  await api.transaction(async (tx) => {
    const { recordEvent } = await import('../database/events.ts')
    await tx.updateTable('checkpoints').set({ state: 'corrupt' }).where('id', '=', pending).execute()
    await recordEvent(tx, api.runtime, { type: 'checkpoint.state_changed', checkpoint_id: pending })
  })
  assert.equal((await waiting).body.state, 'corrupt')
  assert.equal((await api.call<Checkpoint>('GET', `/v1/checkpoints/${tip}/wait?for=stored&timeout=60`)).body.state, 'verified')
})

test('a fork answers with its machine and operation', async () => {
  const { status, body } = await api.call<ForkedCheckpoint>('POST', `/v1/checkpoints/${tip}/fork`, {
    key: api.keys.user,
    body: { name: 'the-fork', budget: '1000' },
  })
  assert.deepEqual([status, body.machine_name], [202, 'the-fork'])
  assert.equal((await api.call<Operation>('GET', `/v1/operations/${body.operation_id}`)).body.kind, 'fork-checkpoint')
  const taken = await api.call('POST', `/v1/checkpoints/${tip}/fork`, { body: { name: 'the-fork' } })
  assert.deepEqual([taken.status, taken.body.code], [409, 'conflict.name_taken'])
})

test('a fork without a budget of its own gets what its parent has left, also from one that is destroyed, and never more than the project has', async () => {
  const place = await api.project('r')
  const open = (scope: 'project' | 'machine', scopeId: string, parentId: BudgetId | null, limit: bigint) =>
    api.transaction((tx) => api.ledger.openBudget(tx, { scope, scopeId, parentId, resource: 'money', limit }))
  const ofProject = await open('project', place, null, 1000n)
  const parent = async (name: string, settled: bigint) => {
    const id = await api.machine(place, name)
    const budgetId = await open('machine', id, ofProject, 700n)
    await api.db.updateTable('budgets').set({ settled }).where('id', '=', budgetId).execute()
    return { id, budgetId, from: await api.checkpoint(id, { files: { 'project/a.txt': 'x' } }) }
  }
  const limitOfFork = async (from: string) => {
    const { body } = await api.call<ForkedCheckpoint>('POST', `/v1/checkpoints/${from}/fork`)
    return ((await api.call<Operation>('GET', `/v1/operations/${body.operation_id}`)).body.input as { limitNanoUsd: string }).limitNanoUsd
  }
  const living = await parent('living', 200n)
  assert.equal(await limitOfFork(living.from), '500')

  const gone = await parent('gone', 300n)
  await api.transaction((tx) => api.ledger.closeBudget(tx, gone.budgetId))
  await api.setMachineState(gone.id, 'destroyed')
  assert.equal(await limitOfFork(gone.from), '400')
  await api.db.updateTable('budgets').set({ settled: 850n }).where('id', '=', ofProject).execute()
  assert.equal(await limitOfFork(gone.from), '150')
})

test('a list is limited to a machine, a project or a run', async () => {
  const elsewhere = await api.machine(await api.project('q'), 'elsewhere')
  const one = await api.checkpoint(elsewhere)
  assert.deepEqual(
    (await api.call<Page<Checkpoint>>('GET', `/v1/checkpoints?machine=${elsewhere}`)).body.items.map(({ id }) => id),
    [one],
  )
  assert.ok((await api.call<Page<Checkpoint>>('GET', `/v1/checkpoints?project=${project}`)).body.items.every(({ id }) => id !== one))
  assert.deepEqual((await api.call<Page<Checkpoint>>('GET', `/v1/checkpoints?run=${api.runtime.newId('run')}`)).body.items, [])
})
