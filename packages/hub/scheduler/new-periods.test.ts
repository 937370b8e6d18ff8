/** A run that waits for money goes on with the next period, once, and only if the new period is what it waited for. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { RunId } from '@autovibe/contract'
import { MINUTE_MS, openTestLedger, type Scene, spend } from '../ledger/testing.ts'
import type { Ports } from '../operations/ports.ts'
import { createRequests } from '../operations/requests.ts'
import { changeRun, lockRun } from '../operations/steps/run-state.ts'
import { resumeInNewPeriods } from './new-periods.ts'

const { database, runtime, ledger, scene, hold, openCap, advance } = await openTestLedger()
after(() => database.close())
const { db } = database
// Nothing that resuming does reaches the substrate or the store.
const requests = createRequests({ db, runtime, ledger } as unknown as Ports)

const DAY_MS = 24 * 60 * MINUTE_MS
const wide = { organisation: 1_000_000n, project: 1_000_000n, run: 1_000_000n }
const look = () => resumeInNewPeriods(db, requests)
const stateOf = async (id: RunId) => (await db.selectFrom('runs').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state
const pause = (at: Scene, reason: string) =>
  db.transaction().execute(async (tx) => {
    await tx.updateTable('runs').set({ budget_id: at.run }).where('id', '=', at.runId).execute()
    const run = await lockRun(tx, at.runId)
    assert.ok(run)
    await changeRun(tx, runtime, ledger, run, 'pause', reason)
  })

test('a run that met the cap of a day goes on the next day, and waits again when it meets it again', async () => {
  const at = await scene(wide)
  await openCap(at.project, { period: 'daily', limit: 100n })
  for (let day = 0; day < 2; day++) {
    await ledger.settle((await hold(at.run, 100n)).id, spend(at, 100n))
    await pause(at, 'Nothing is left of the daily budget of the project.')
    advance(MINUTE_MS)
    await ledger.rollOver(100)
    assert.deepEqual([await look(), await stateOf(at.runId)], [[], 'paused'])
    advance(DAY_MS)
    await ledger.rollOver(100)
    assert.deepEqual([await look(), await stateOf(at.runId)], [[at.runId], 'running'])
  }
})

test('a run that waits for a person, or for whom another limit is in the way, stays as it is', async () => {
  const waiting = await scene(wide)
  const poor = await scene({ ...wide, run: 100n })
  for (const at of [waiting, poor]) await openCap(at.project, { period: 'daily', limit: 100n })
  await ledger.settle((await hold(poor.run, 100n)).id, spend(poor, 100n))
  await ledger.settle((await hold(waiting.run, 100n)).id, spend(waiting, 100n))
  await pause(waiting, 'Waits for a person.')
  await pause(poor, 'Nothing is left of the budget of the run.')
  advance(DAY_MS)
  await ledger.rollOver(100)
  assert.deepEqual(await look(), [])
  assert.deepEqual([await stateOf(waiting.runId), await stateOf(poor.runId)], ['paused', 'paused'])
})
