/** Every byte counts once, whatever becomes of the answers: the ledger and the database are real, and what they answer is lost on its way. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Database } from '../database/database.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { Meter } from './meter.ts'
import { openTestEgress, type TestMachine, tableNetwork, usageOf } from './testing/testing.ts'

const hub = await openTestEgress(tableNetwork({}, () => 0).network)
after(() => hub.close())

class Lost extends Error {}

/** What is asked of these is done; so many of the answers are lost. */
function losing(answers: number): { db: Database; ledger: Ledger } {
  let left = answers
  async function lose<T>(answer: Promise<T>): Promise<T> {
    const kept = await answer
    if (left-- > 0) throw new Lost()
    return kept
  }
  const transaction = () => ({ execute: (work: Parameters<ReturnType<Database['transaction']>['execute']>[0]) => lose(hub.db.transaction().execute(work)) })
  return {
    db: { transaction } as unknown as Database,
    ledger: { ...hub.ledger, charge: (...asked) => lose(hub.ledger.charge(...asked)) },
  }
}

async function meterOf(machine: TestMachine, answers: number, limit: bigint | null) {
  const cap = limit === null ? undefined : { budgetId: await hub.cap(machine, limit), available: limit }
  const { projectId, id: machineId, runId } = machine
  const meter = new Meter({ ...losing(answers), subject: { projectId, machineId, runId }, id: `tunnel-of-${machineId}`, destination: 'public.test:443', cap })
  const counted = async () => (await usageOf(hub, machine)).reduce((sum, { amount }) => sum + amount, 0n)
  const settled = async () => cap && (await hub.db.selectFrom('budgets').select('settled').where('id', '=', cap.budgetId).executeTakeFirstOrThrow()).settled
  return { meter, counted, settled }
}

for (const [name, limit] of [
  ['charged', 10_000n],
  ['recorded', null],
] as const) {
  test(`bytes that were ${name} without an answer count once, and those that passed since count too`, async () => {
    const { meter, counted, settled } = await meterOf(await hub.machine(), 2, limit)
    meter.add('sent', 100)
    await assert.rejects(meter.charge(), Lost)
    meter.add('received', 50)
    await assert.rejects(meter.charge(), Lost)
    meter.add('received', 7)
    assert.equal(await meter.charge({ ended: 'closed' }), true)
    assert.equal(await counted(), 157n)
    if (limit !== null) assert.equal(await settled(), 157n)
    assert.deepEqual((await hub.ledger.audit()).findings, [])
  })
}

test('bytes that were charged without an answer do not count again when their cap is gone by then', async () => {
  const { meter, counted, settled } = await meterOf(await hub.machine(), 1, 10_000n)
  meter.add('sent', 100)
  await assert.rejects(meter.charge(), Lost)
  meter.capBy(undefined)
  meter.add('sent', 1)
  assert.equal(await meter.charge(), true)
  assert.deepEqual([await counted(), await settled()], [101n, 100n])
})

test('a cap that a charge without an answer has used up is found so at the next', async () => {
  const { meter, counted } = await meterOf(await hub.machine(), 1, 100n)
  meter.add('sent', 100)
  await assert.rejects(meter.charge(), Lost)
  assert.equal(await meter.charge(), false)
  assert.equal(await counted(), 100n)
})
