/** Budgets: caps, their ETag, their ledger, and the runs that go on once a limit is raised. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Budget, BudgetId, LedgerAudit, LedgerEntry, Page, Run } from '@autovibe/contract'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('p')

const created = await api.call<Budget>('POST', '/v1/budgets', { body: { scope: 'project', scope_id: 'p', limit: '1000' } })
const projectBudget = created.body
const open = (scope: 'machine' | 'run', scopeId: string, parentId: BudgetId, limit: bigint) =>
  api.transaction((tx) => api.ledger.openBudget(tx, { scope, scopeId, parentId, resource: 'money', limit }))

test('the budget of a project hangs beneath that of the organisation, and there is one of each', async () => {
  assert.equal(created.status, 201)
  assert.deepEqual([projectBudget.scope_id, projectBudget.limit, projectBudget.available], [project, '1000', '1000'])
  const parent = await api.call<Budget>('GET', `/v1/budgets/${projectBudget.parent_id}`)
  assert.deepEqual([parent.body.scope, parent.body.scope_id], ['organisation', 'organisation'])
  for (const body of [
    { scope: 'project', scope_id: project, limit: '1' },
    { scope: 'organisation', scope_id: 'organisation', limit: '1' },
  ]) {
    const again = await api.call('POST', '/v1/budgets', { body })
    assert.deepEqual([again.status, again.body.code], [409, 'conflict.name_taken'])
  }
  assert.equal((await api.call('POST', '/v1/budgets', { body: { scope: 'organisation', scope_id: 'mine', limit: '1' } })).status, 400)
})

test('what is available is the least along the chain, and nothing beneath a closed link', async () => {
  const machine = await api.machine(project, 'chain')
  const wide = await open('machine', machine, projectBudget.id, 5000n)
  assert.equal((await api.call<Budget>('GET', `/v1/budgets/${wide}`)).body.available, '1000')
  await api.transaction((tx) => api.ledger.closeBudget(tx, wide))
  assert.equal((await api.call<Budget>('GET', `/v1/budgets/${wide}`)).body.available, '0')
  const ids = (page: Page<Budget>) => page.items.map(({ id }) => id)
  assert.ok(!ids((await api.call<Page<Budget>>('GET', '/v1/budgets?open=true')).body).includes(wide))
  assert.deepEqual(ids((await api.call<Page<Budget>>('GET', '/v1/budgets?open=false')).body), [wide])
})

test('a limit changes only for who has seen the budget as it is', async () => {
  const { headers } = await api.call<Budget>('GET', `/v1/budgets/${projectBudget.id}`)
  const patch = (etag: string | undefined, limit: string) =>
    api.call<Budget>('PATCH', `/v1/budgets/${projectBudget.id}`, { body: { limit }, headers: etag === undefined ? {} : { 'if-match': etag } })
  const codeOf = (answer: { body: unknown }) => (answer.body as { code: string }).code
  const without = await patch(undefined, '2000')
  assert.deepEqual([without.status, codeOf(without)], [428, 'request.precondition_required'])
  for (const stale of ['"999"', `W/${headers['etag']}`, 'nonsense', '"1", "2"']) {
    const answer = await patch(stale, '2000')
    assert.deepEqual([answer.status, codeOf(answer)], [412, 'request.precondition_failed'], stale)
  }
  const changed = await patch(String(headers['etag']), '2000')
  assert.deepEqual([changed.status, changed.body.limit], [200, '2000'])
  assert.notEqual(changed.headers['etag'], headers['etag'])
  assert.equal((await patch(String(headers['etag']), '3000')).status, 412)
  const audit = await api.db.selectFrom('audit_log').select('detail').where('action', '=', 'budget.set_limit').executeTakeFirstOrThrow()
  assert.deepEqual(audit.detail, { before: '1000', after: '2000' })
})

test('of two changes at once one wins, and the other is told', async () => {
  const { headers } = await api.call<Budget>('GET', `/v1/budgets/${projectBudget.id}`)
  const answers = await Promise.all(
    ['4000', '5000', '6000'].map((limit) =>
      api.call('PATCH', `/v1/budgets/${projectBudget.id}`, { body: { limit }, headers: { 'if-match': String(headers['etag']) } }),
    ),
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 412, 412])
})

test('raising a limit lets the runs beneath go on that stopped for money and have more now, and only those', async () => {
  const paused = async (name: string, reason: string, limit = 10n) => {
    const machine = await api.machine(project, name, 'paused')
    const run = await api.run(project, machine, 'paused', reason)
    const budget = await open('run', run, await open('machine', machine, projectBudget.id, limit), limit)
    await api.db.updateTable('runs').set({ budget_id: budget }).where('id', '=', run).execute()
    return { run, budget }
  }
  const broke = await paused('broke', 'The budget of the run is used up.')
  const brokeToo = await paused('broke-too', 'budget.exhausted: the project has nothing left', 9000n)
  const narrow = await paused('narrow', 'This needs more than is left of the budget of the run.')
  const waiting = await paused('waiting', 'Waits for a person.')
  const stateOf = async ({ run }: { run: string }) => (await api.call<Run>('GET', `/v1/runs/${run}`)).body.state
  const lowered = await api.call<Budget>('PATCH', `/v1/budgets/${broke.budget}`, { body: { limit: '0' }, headers: { 'if-match': '*' } })
  assert.deepEqual([lowered.body.available, await stateOf(broke)], ['0', 'paused'])
  const raise = (id: string) => api.call<Budget>('PATCH', `/v1/budgets/${id}`, { body: { limit: '7000' }, headers: { 'if-match': '*' } })
  assert.equal((await raise(broke.budget)).status, 200)
  assert.deepEqual([await stateOf(broke), await stateOf(brokeToo), await stateOf(waiting)], ['running', 'paused', 'paused'])
  assert.equal((await raise(projectBudget.id)).status, 200)
  assert.deepEqual([await stateOf(broke), await stateOf(brokeToo), await stateOf(waiting)], ['running', 'running', 'paused'])
  // Its own limit is in the way, so it would only stop again.
  assert.equal(await stateOf(narrow), 'paused')
})

test('the ledger lists each movement in order, and adds up to what the budget says', async () => {
  const machine = await api.machine(project, 'ledger')
  const id = await open('machine', machine, projectBudget.id, 1000n)
  for (let index = 0; index < 5; index++) {
    const held = await api.ledger.reserve({ key: `l${index}`, budgetId: id, amount: 100n, holder: 'test', subject: null, leaseMs: 60_000 })
    if (index % 2 === 0)
      await api.ledger.settle(held.id, { projectId: project, machineId: machine, runId: null, resource: 'money', amount: 60n, quality: 'measured', cost: 60n })
  }
  const entries: LedgerEntry[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const url: string = `/v1/budgets/${id}/ledger?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`
    const { body } = await api.call<Page<LedgerEntry>>('GET', url)
    entries.push(...body.items)
    cursor = body.next_cursor
  }
  const { body: budget } = await api.call<Budget>('GET', `/v1/budgets/${id}`)
  const sum = (amounts: string[]) => amounts.reduce((total, amount) => total + BigInt(amount), 0n).toString()
  assert.deepEqual([sum(entries.map((entry) => entry.settled_delta)), sum(entries.map((entry) => entry.reserved_delta))], [budget.settled, budget.reserved])
  assert.deepEqual([budget.settled, budget.reserved, budget.available], ['180', '200', '620'])
  const usage = await api.call<Page<{ cost: string }>>('GET', `/v1/usage-events?machine=${machine}`)
  assert.equal(sum(usage.body.items.map(({ cost }) => cost)), '180')
})

test('a cap for a period comes above the budget of its scope, once, and shows when it ends', async () => {
  const capped = await api.project('capped')
  const create = (body: object) => api.call<Budget>('POST', '/v1/budgets', { body: { scope: 'project', scope_id: 'capped', ...body } })
  const daily = await create({ period: 'daily', limit: '500', thresholds: [90, 50], policy: 'wind-down' })
  assert.equal(daily.status, 201)
  const { period, period_ends_at, thresholds, policy, share, frozen_at } = daily.body
  assert.deepEqual([period, thresholds, policy, share, frozen_at], ['daily', [50, 90], 'wind-down', 1, null])
  assert.ok(period_ends_at?.endsWith('T00:00:00.000Z'))
  const again = await create({ period: 'daily', limit: '1' })
  assert.deepEqual([again.status, again.body], [409, { ...again.body, code: 'conflict.name_taken' }])
  assert.equal((await create({ period: 'total', limit: '1' })).status, 409)
  assert.equal((await create({ period: 'weekly', limit: '400' })).status, 201)
  const { body: all } = await api.call<Page<Budget>>('GET', `/v1/budgets?scope=project&scope_id=${capped}`)
  const whole = all.items.find((budget) => budget.period === 'total')
  assert.deepEqual([all.items.length, whole?.available, whole?.period_ends_at], [3, '400', null])
  const { body: weekly } = await api.call<Page<Budget>>('GET', `/v1/budgets?scope=project&scope_id=${capped}&period=weekly`)
  assert.deepEqual([weekly.items.length, weekly.items[0]?.id, weekly.items[0]?.parent_id], [1, whole?.parent_id, daily.body.id])
})

test('a project takes at most its share of what is left above it, and only a project has one', async () => {
  const id = await api.project('greedy')
  const create = (body: object) => api.call<Budget>('POST', '/v1/budgets', { body: { limit: '1000', resource: 'api_calls', ...body } })
  const root = (await create({ scope: 'organisation', scope_id: 'organisation', limit: '800' })).body
  const own = (await create({ scope: 'project', scope_id: 'greedy', share: 0.25 })).body
  const daily = (await create({ scope: 'project', scope_id: 'greedy', period: 'daily' })).body
  const read = async (budget: Budget) => (await api.call<Budget>('GET', `/v1/budgets/${budget.id}`)).body
  assert.deepEqual([own.share, own.available, daily.share, (await read(own)).available], [0.25, '200', 0.25, '200'])
  const patch = (budget: Budget, body: object) => api.call<Budget>('PATCH', `/v1/budgets/${budget.id}`, { body, headers: { 'if-match': '*' } })
  assert.deepEqual([(await patch(daily, { share: 0.5 })).body.share, (await read(own)).share, (await read(own)).available], [0.5, 0.5, '400'])
  for (const refused of [
    await patch(root, { share: 0.5 }),
    await patch(own, { share: 1.5 }),
    await create({ scope: 'organisation', scope_id: 'organisation', share: 1 }),
  ])
    assert.equal(refused.status, 400)
  assert.equal(await api.ledger.available(own.id), 400n)
  assert.equal(own.scope_id, id)
})

test('settings change without the limit, a repeat of it thaws, and what is out of bounds is refused', async () => {
  const machine = await api.machine(project, 'frozen')
  const id = await open('machine', machine, projectBudget.id, 1000n)
  await api.db.updateTable('budgets').set({ frozen_at: new Date() }).where('id', '=', id).execute()
  const patch = (body: object) => api.call<Budget>('PATCH', `/v1/budgets/${id}`, { body, headers: { 'if-match': '*' } })
  const settled = await patch({ thresholds: [10, 20], policy: 'finish-step' })
  assert.deepEqual([settled.body.thresholds, settled.body.policy, settled.body.limit, settled.body.available], [[10, 20], 'finish-step', '1000', '0'])
  assert.ok(settled.body.frozen_at !== null)
  const thawed = await patch({ limit: '1000' })
  assert.deepEqual([thawed.body.frozen_at, thawed.body.available, thawed.body.policy], [null, '1000', 'finish-step'])
  for (const body of [{ thresholds: [0] }, { thresholds: [100] }, { policy: 'nothing' }, { period: 'daily' }, { limit: '-1' }, {}])
    assert.equal((await patch(body)).status, 400)
})

test('the audit says how much it has looked at, and what it found', async () => {
  const asked = () => api.call<LedgerAudit>('POST', '/v1/budgets/audit')
  const { status, body } = await asked()
  assert.deepEqual([status, body.is_complete, body.findings], [200, true, []])
  assert.ok(body.checked.budgets > 5 && body.checked.entries > 5)
  await api.db.updateTable('budgets').set({ settled: 1n }).where('id', '=', projectBudget.id).execute()
  const [finding] = (await asked()).body.findings
  assert.deepEqual([finding?.check, finding?.subject], ['balance', projectBudget.id])
})
