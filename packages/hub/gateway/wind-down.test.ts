/** A run whose money is out and whose budget winds it down: told once, paid from what is set aside, refused when that is spent. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { readHandBacks } from '../ledger/holds.ts'
import { ask, INPUT, OUTPUT, USD, type WireError } from './test-calls.ts'
import { messageOf, openTestGateway, sendJson, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

/** Ten cents, of which three are set aside; a call of a thousand tokens of output costs two at most. */
const LIMIT = USD / 10n
const SET_ASIDE = (3n * USD) / 100n

async function windingMachine() {
  const machine = await hub.machine(LIMIT)
  const { projectId, machineId, runId, budgetId } = machine
  await hub.db.updateTable('budgets').set({ policy: 'wind-down' }).where('id', '=', budgetId).execute()
  await hub.db.transaction().execute((tx) => hub.ledger.setAside(tx, { budgetId, subject: { projectId, machineId, runId }, amount: SET_ASIDE }))
  const kept = async () => (await readHandBacks(hub.db, [runId])).get(runId)?.amount ?? 0n
  return { ...machine, kept }
}

/** The gateway's own words, or null for an answer of the model. */
async function said(response: Response): Promise<{ code: string | undefined; policy: string | undefined } | null> {
  const body = (await response.json()) as Partial<WireError>
  const own = body.error?.autovibe as { code?: string; policy?: string } | undefined
  return body.error ? { code: own?.code, policy: own?.policy } : null
}

test('the first refusal says once that the work is wound down, and the closing call after it is paid from what is set aside', async () => {
  hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 700))))
  const machine = await windingMachine()
  const answers: Awaited<ReturnType<typeof said>>[] = []
  while (answers.at(-1) == null && answers.length < 20) answers.push(await said(await machine.call(ask({ max_tokens: 2000 }))))
  assert.deepEqual(answers.at(-1), { code: 'budget.insufficient', policy: 'wind-down' })
  assert.equal(await machine.kept(), SET_ASIDE)
  const before = await machine.budget()
  assert.equal(await said(await machine.call(ask({ max_tokens: 1000 }))), null)
  const cost = 100n * INPUT + 700n * OUTPUT
  assert.equal(await machine.kept(), SET_ASIDE - cost)
  assert.equal((await machine.budget()).settled, before.settled + cost)
  assert.equal((await machine.events('gateway.call_refused')).filter((data) => data['policy'] === 'wind-down').length, 1)
})

test('an agent that goes on calling is refused when what is set aside is spent, and all that it was billed is within its limit', async () => {
  hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 900))))
  const machine = await windingMachine()
  const answers = []
  for (let call = 0; call < 30; call++) answers.push(...(await Promise.all([machine.call(ask()), machine.call(ask())].map(async (one) => said(await one)))))
  assert.equal(answers.filter((answer) => answer?.policy === 'wind-down').length, 1)
  assert.match(answers.at(-1)?.code ?? '', /^budget\./)
  const { settled, reserved, limit } = await machine.budget()
  const kept = await machine.kept()
  assert.equal(reserved, kept)
  assert.ok(settled + kept <= limit)
  const billed = (await machine.usage()).reduce((sum, { cost }) => sum + cost, 0n)
  assert.deepEqual([billed, (await hub.ledger.audit()).findings], [settled, []])
})

test('a run that is paused cannot spend what it has set aside, nor one that has nothing set aside', async () => {
  hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 900))))
  const machine = await windingMachine()
  for (let call = 0; call < 8; call++) await machine.call(ask())
  await hub.db.updateTable('runs').set({ state: 'paused', winding_down_at: null }).where('id', '=', machine.runId).execute()
  const kept = await machine.kept()
  for (let call = 0; call < 3; call++) assert.equal((await said(await machine.call(ask({ max_tokens: 1200 }))))?.policy, undefined)
  assert.equal(await machine.kept(), kept)

  const poor = await hub.machine(USD / 1000n)
  await hub.db.updateTable('budgets').set({ policy: 'wind-down' }).where('id', '=', poor.budgetId).execute()
  assert.deepEqual(await said(await poor.call(ask())), { code: 'budget.insufficient', policy: undefined })
})
