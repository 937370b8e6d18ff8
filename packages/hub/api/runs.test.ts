/** Runs: asked for once, metered by step, cancelled and resumed. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { CreatedRun, Page, Run, Step } from '@autovibe/contract'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('p')
await api.call('PUT', '/v1/providers/anthropic', { body: { key: 'sk-ant-test', simulated: true } })
await api.call('PUT', '/v1/providers/openai', { body: { key: 'sk-test', simulated: true } })

const ask = { project: 'p', prompt: 'mend it', budget: '2000000000' }

test('a run is not started without an Idempotency-Key', async () => {
  const { status, body } = await api.call('POST', '/v1/runs', { body: ask })
  assert.deepEqual([status, body.code, body.errors?.[0]?.path], [400, 'request.invalid', 'headers.idempotency-key'])
})

test('a run on a ready machine is queued with its limit, and asked twice it is one', async () => {
  const machine = await api.machine(project, 'worker', 'ready')
  const request = { key: api.keys.user, body: { ...ask, machine: 'worker' }, headers: { 'idempotency-key': 'run-1' } }
  const first = await api.call<CreatedRun>('POST', '/v1/runs', request)
  const second = await api.call<CreatedRun>('POST', '/v1/runs', request)
  assert.equal(first.status, 201)
  assert.deepEqual(second.body, first.body)
  const { run } = first.body
  assert.deepEqual([run.state, run.machine_name, run.spent, run.limit, run.agent], ['queued', 'worker', '0', '2000000000', 'builtin'])
  assert.deepEqual((await api.call<Page<Run>>('GET', `/v1/runs?machine=${machine}`)).body.items, [run])
  assert.equal((await api.call('GET', `/v1/operations/${first.body.operation_id}`)).status, 200)
})

test('what cannot run is refused with one clear error and leaves no run', async () => {
  const count = async () => (await api.db.selectFrom('runs').select('id').execute()).length
  const before = await count()
  const cases = [
    [{ ...ask, project: 'nowhere' }, 404, 'not_found'],
    [{ ...ask, budget: '0' }, 400, 'request.invalid'],
    [{ ...ask, budget: 'abc' }, 400, 'request.invalid'],
    [{ ...ask, budget: '-1' }, 400, 'request.invalid'],
    [{ ...ask, agent: 'clippy' }, 400, 'request.invalid'],
    [{ ...ask, provider: 'nobody' }, 400, 'provider.unknown'],
    [{ ...ask, provider: 'openai' }, 400, 'request.invalid'],
    [{ ...ask, machine: 'nowhere' }, 404, 'not_found'],
    [ask, 400, 'project.source_invalid'],
  ] as const
  for (const [index, [body, status, code]] of cases.entries()) {
    const answer = await api.call('POST', '/v1/runs', { body, headers: { 'idempotency-key': `bad-${index}` } })
    assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(body))
  }
  assert.equal(await count(), before)
})

test('each step shows the tokens and the cost that the gateway metered under its message', async () => {
  const machine = await api.machine(project, 'metered', 'running')
  const run = await api.run(project, machine, 'running')
  const now = api.runtime.now()
  const step = (index: number, message_id: string | null) => ({
    run_id: run,
    index,
    model: 'm',
    message_id,
    text: `step ${index}`,
    tools: '[]',
    started_at: now,
    ended_at: now,
    outcome: 'finished' as const,
  })
  await api.db
    .insertInto('steps')
    .values([step(1, 'msg_1'), step(2, 'msg_2'), step(3, null)])
    .execute()
  const use = (message_id: string, cost: bigint, run_id: typeof run | null = run) => ({
    id: api.runtime.newId('usageEvent'),
    project_id: project,
    machine_id: machine,
    run_id,
    resource: 'money',
    amount: cost,
    quality: 'measured' as const,
    provider: 'anthropic',
    model: 'm',
    message_id,
    tokens: JSON.stringify({ input: '10', cache_read: '5', cache_write_5m: '3', cache_write_1h: '4', output: '9007199254740993' }),
    cost,
    price_version: null,
    reservation_id: null,
    first_byte_ms: null,
    total_ms: null,
    detail: '{}',
    at: now,
  })
  // The last one shows the same message id under no run of ours: a hostile upstream or machine could repeat ids.
  await api.db
    .insertInto('usage_events')
    .values([use('msg_1', 1000n), use('msg_2', 2000n), use('msg_1', 77n, null)])
    .execute()
  const { body } = await api.call<Page<Step>>('GET', `/v1/runs/${run}/steps`)
  assert.deepEqual(
    body.items.map(({ index, cost }) => [index, cost]),
    [
      [1, '1000'],
      [2, '2000'],
      [3, '0'],
    ],
  )
  const [first] = body.items
  assert.deepEqual([first?.input_tokens, first?.cache_read_tokens, first?.cache_write_tokens, first?.output_tokens], ['10', '5', '7', '9007199254740993'])
  const page = await api.call<Page<Step>>('GET', `/v1/runs/${run}/steps?limit=2`)
  const rest = await api.call<Page<Step>>('GET', `/v1/runs/${run}/steps?limit=2&cursor=${page.body.next_cursor}`)
  assert.deepEqual([...page.body.items, ...rest.body.items], body.items)
  assert.equal((await api.call<Run>('GET', `/v1/runs/${run}`)).body.steps, 3)
})

test('a run shows what its budget settled, and the newest verified checkpoint', async () => {
  const machine = await api.machine(project, 'spender', 'running')
  const run = await api.run(project, machine, 'running')
  const budget = await api.transaction((tx) => api.ledger.openBudget(tx, { scope: 'run', scopeId: run, parentId: null, resource: 'money', limit: 500n }))
  await api.db.updateTable('runs').set({ budget_id: budget }).where('id', '=', run).execute()
  const held = await api.ledger.reserve({ key: 'r', budgetId: budget, amount: 200n, holder: 'test', subject: null, leaseMs: 60_000 })
  await api.ledger.settle(held.id, { projectId: project, machineId: machine, runId: run, resource: 'money', amount: 120n, quality: 'measured', cost: 120n })
  const verified = await api.checkpoint(machine, { files: { 'project/a': 'a' } })
  const pending = await api.checkpoint(machine)
  await api.db.updateTable('checkpoints').set({ run_id: run }).where('id', 'in', [verified, pending]).execute()
  const { body } = await api.call<Run>('GET', `/v1/runs/${run}`)
  assert.deepEqual([body.spent, body.limit, body.budget_id, body.checkpoint_id], ['120', '500', budget, verified])
})

test('a run can be cancelled once, and a paused one resumed', async () => {
  const machine = await api.machine(project, 'pausing', 'paused')
  const run = await api.run(project, machine, 'paused', 'waits')
  const resumed = await api.call<Run>('POST', `/v1/runs/${run}/resume`)
  assert.deepEqual([resumed.status, resumed.body.state], [202, 'running'])
  const cancelled = await api.call<Run>('POST', `/v1/runs/${run}/cancel`)
  assert.deepEqual([cancelled.status, cancelled.body.state], [202, 'cancelled'])
  const again = await api.call('POST', `/v1/runs/${run}/cancel`)
  assert.deepEqual([again.status, again.body.code], [409, 'conflict.state'])
  assert.equal((await api.call<Run>('GET', `/v1/runs/${run}/wait?for=ended&timeout=60`)).body.state, 'cancelled')
})
