/** What the steps of a run have cost is, together, what the run has: every consumption counts for exactly one of them. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Page, ProjectId, Run, RunId, RunState, Step } from '@autovibe/contract'
import fc from 'fast-check'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project: ProjectId = await api.project('p')
const BEGIN = Date.parse('2026-01-01T00:00:00.000Z')
const at = (second: number): Date => new Date(BEGIN + second * 1000)

interface Begun {
  readonly second: number
  readonly message?: string | null
  readonly outcome?: 'finished' | 'interrupted' | null
}
interface Used {
  readonly second: number
  readonly message: string | null
  readonly cost: bigint
}

let made = 0

/** A run with these steps, numbered from 1, and this use of money. */
async function runOf(steps: readonly Begun[], used: readonly Used[], state: RunState = 'paused'): Promise<RunId> {
  const machine = await api.machine(project, `m-${++made}`, 'running')
  const run = await api.run(project, machine, state)
  if (steps.length > 0)
    await api.db
      .insertInto('steps')
      .values(
        steps.map(({ second, message = null, outcome = message === null ? 'interrupted' : 'finished' }, index) => ({
          run_id: run,
          index: index + 1,
          model: message === null ? '' : 'm',
          message_id: message,
          text: '',
          tools: '[]',
          started_at: at(second),
          ended_at: outcome === null ? null : at(second + 1),
          outcome,
        })),
      )
      .execute()
  for (const { second, message, cost } of used)
    await api.db
      .insertInto('usage_events')
      .values({
        id: api.runtime.newId('usageEvent'),
        project_id: project,
        machine_id: machine,
        run_id: run,
        resource: 'money',
        amount: cost,
        quality: 'measured',
        provider: 'anthropic',
        model: 'billed',
        message_id: message,
        tokens: message === null ? null : JSON.stringify({ input: '10', cache_read: '0', cache_write_5m: '0', cache_write_1h: '0', output: '1' }),
        cost,
        price_version: null,
        reservation_id: null,
        first_byte_ms: null,
        total_ms: null,
        detail: '{}',
        at: at(second),
      })
      .execute()
  return run
}

async function stepsOf(run: RunId, limit = 1000): Promise<Step[]> {
  const items: Step[] = []
  for (let cursor = ''; ; ) {
    const { body } = await api.call<Page<Step>>('GET', `/v1/runs/${run}/steps?limit=${limit}${cursor}`)
    items.push(...body.items)
    if (body.next_cursor === null) return items
    cursor = `&cursor=${body.next_cursor}`
  }
}

const costs = (steps: readonly Step[]) => steps.map(({ cost }) => Number(cost))

test('the call of a step that was cut off counts for it, with its tokens and model, although the step never named it', async () => {
  const run = await runOf(
    [{ second: 0, message: 'msg_1' }, { second: 10 }, { second: 20, message: 'msg_3' }],
    [
      { second: 1, message: 'msg_1', cost: 1n },
      { second: 11, message: 'msg_2', cost: 2n },
      { second: 21, message: 'msg_3', cost: 4n },
    ],
  )
  const steps = await stepsOf(run)
  assert.deepEqual(costs(steps), [1, 2, 4])
  assert.deepEqual([steps[1]?.outcome, steps[1]?.model, steps[1]?.input_tokens, steps[1]?.output_tokens], ['interrupted', 'billed', '10', '1'])
  assert.equal((await api.call<Run>('GET', `/v1/runs/${run}`)).body.steps, 3)
})

test('a call that is settled at its bound, or made beside the steps, counts for the step that had begun last', async () => {
  const run = await runOf(
    [
      { second: 0, message: 'msg_1' },
      { second: 10, outcome: null },
    ],
    [
      { second: -5, message: 'msg_title', cost: 1n },
      { second: 3, message: 'msg_1', cost: 2n },
      { second: 5, message: null, cost: 4n },
      { second: 12, message: null, cost: 8n },
    ],
  )
  assert.deepEqual(costs(await stepsOf(run)), [7, 8])
})

test('of a run at work, a call whose step is still on its way here counts for no other one; only what nobody can name counts at once', async () => {
  const steps = [
    { second: 0, message: 'msg_1' },
    { second: 10, message: null },
    { second: 20, message: 'msg_3' },
  ]
  const used = [
    { second: 1, message: 'msg_1', cost: 1n },
    // Of the step that was interrupted; then of one that is not told of yet, and of none.
    { second: 11, message: 'msg_2', cost: 2n },
    { second: 24, message: 'msg_4', cost: 4n },
    { second: 25, message: null, cost: 8n },
  ]
  assert.deepEqual(costs(await stepsOf(await runOf(steps, used, 'running'))), [1, 2, 8])
  const next = { second: 23, outcome: null }
  assert.deepEqual(costs(await stepsOf(await runOf([...steps, next], used, 'running'))), [1, 2, 0, 12])
  assert.deepEqual(costs(await stepsOf(await runOf(steps, used))), [1, 2, 12])
})

test('a call that was made before its step was cut off counts for it, even when it is settled after the next one began', async () => {
  const steps = [{ second: 0 }, { second: 10, outcome: null }]
  const run = await runOf(steps, [{ second: 12, message: 'msg_1', cost: 3n }], 'running')
  assert.deepEqual(costs(await stepsOf(run)), [0, 3])
  const hold = api.runtime.newId('reservation')
  const budget = await api.transaction((tx) => api.ledger.openBudget(tx, { scope: 'run', scopeId: run, parentId: null, resource: 'money', limit: 9n }))
  await api.db
    .insertInto('reservations')
    .values({
      id: hold,
      budget_id: budget,
      budget_ids: [budget],
      project_id: null,
      machine_id: null,
      run_id: null,
      idempotency_key: hold,
      holder: 'test',
      amount: 3n,
      state: 'settled',
      settled_amount: 3n,
      lease_expires_at: at(60),
      created_at: at(0.5),
      ended_at: at(12),
    })
    .execute()
  await api.db.updateTable('usage_events').set({ reservation_id: hold }).where('run_id', '=', run).execute()
  assert.deepEqual(costs(await stepsOf(run)), [3, 0])
})

test('two steps that name the same message do not count it twice', async () => {
  const run = await runOf(
    [
      { second: 0, message: 'msg_1' },
      { second: 10, message: 'msg_1' },
    ],
    [{ second: 12, message: 'msg_1', cost: 5n }],
  )
  assert.deepEqual(costs(await stepsOf(run)), [5, 0])
})

test('whatever steps a machine tells of and whatever its calls cost, the steps of a run at rest cost what the run did, page by page', async () => {
  const message = fc.constantFrom(null, 'msg_1', 'msg_2', 'msg_3')
  const second = fc.integer({ min: 0, max: 50 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ second, message }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.record({ second, message, cost: fc.bigInt(0n, 2n ** 40n) }), { maxLength: 8 }),
      fc.integer({ min: 1, max: 7 }),
      async (steps, used, limit) => {
        const told = await stepsOf(await runOf(steps, used), limit)
        assert.deepEqual(
          told.map(({ index }) => index),
          steps.map((_, index) => index + 1),
        )
        assert.equal(
          told.reduce((sum, { cost }) => sum + BigInt(cost), 0n),
          used.reduce((sum, { cost }) => sum + cost, 0n),
        )
      },
    ),
    { numRuns: 30 },
  )
})

test('what a run holds for calls under way is shown beside what it has spent', async () => {
  const machine = await api.machine(project, 'holder', 'running')
  const run = await api.run(project, machine, 'running')
  const budget = await api.transaction((tx) => api.ledger.openBudget(tx, { scope: 'run', scopeId: run, parentId: null, resource: 'money', limit: 500n }))
  await api.db.updateTable('runs').set({ budget_id: budget }).where('id', '=', run).execute()
  await api.ledger.reserve({ key: 'held', budgetId: budget, amount: 200n, holder: 'test', subject: null, leaseMs: 60_000 })
  const { body } = await api.call<Run>('GET', `/v1/runs/${run}`)
  assert.deepEqual([body.spent, body.held, body.limit], ['0', '200', '500'])
})
