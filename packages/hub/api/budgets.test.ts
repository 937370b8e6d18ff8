/** Budgets: caps, their ETag, their ledger, and the runs that go on once a limit is raised. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Budget, BudgetId, LedgerEntry, Page, Run } from '@autovibe/contract'
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

test('raising a limit lets the runs beneath go on that stopped for money, and only those', async () => {
  const paused = async (name: string, reason: string) => {
    const machine = await api.machine(project, name, 'paused')
    const run = await api.run(project, machine, 'paused', reason)
    const budget = await open('run', run, await open('machine', machine, projectBudget.id, 10n), 10n)
    await api.db.updateTable('runs').set({ budget_id: budget }).where('id', '=', run).execute()
    return { run, budget }
  }
  const broke = await paused('broke', 'The budget of the run is used up.')
  const brokeToo = await paused('broke-too', 'budget.exhausted: the machine has nothing left')
  const waiting = await paused('waiting', 'Waits for a person.')
  const stateOf = async ({ run }: { run: string }) => (await api.call<Run>('GET', `/v1/runs/${run}`)).body.state
  const lowered = await api.call<Budget>('PATCH', `/v1/budgets/${broke.budget}`, { body: { limit: '0' }, headers: { 'if-match': '*' } })
  assert.deepEqual([lowered.body.available, await stateOf(broke)], ['0', 'paused'])
  const raise = (id: string) => api.call<Budget>('PATCH', `/v1/budgets/${id}`, { body: { limit: '7000' }, headers: { 'if-match': '*' } })
  assert.equal((await raise(broke.budget)).status, 200)
  assert.deepEqual([await stateOf(broke), await stateOf(brokeToo), await stateOf(waiting)], ['running', 'paused', 'paused'])
  assert.equal((await raise(projectBudget.id)).status, 200)
  assert.deepEqual([await stateOf(broke), await stateOf(brokeToo), await stateOf(waiting)], ['running', 'running', 'paused'])
})

test('the ledger lists each movement in order, and adds up to what the budget says', async () => {
  const machine = await api.machine(project, 'ledger')
  const id = await open('machine', machine, projectBudget.id, 1000n)
  for (let index = 0; index < 5; index++) {
    const held = await api.ledger.reserve({ key: `l${index}`, budgetId: id, amount: 100n, holder: 'test', leaseMs: 60_000 })
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
