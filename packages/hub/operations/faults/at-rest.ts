/** What must be true of the whole world once nothing is under way, whatever happened before. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { isAwake } from '@autovibe/core/machines/transitions.ts'
import type { World } from './world.ts'

/** Throws with the first promise that is broken. `verified` holds the checkpoints that an earlier look has read back. */
export async function assertAtRest({ database: { db }, ports }: World, verified: Set<string>): Promise<void> {
  const unfinished = await db
    .selectFrom('operations')
    .select(['kind', 'state', 'error'])
    .where((eb) => eb.or([eb('ended_at', 'is', null), eb('exclusive', '=', true)]))
    .execute()
  assert.deepEqual(unfinished, [], 'every operation has ended and holds no machine')

  const machines = await db.selectFrom('machines').selectAll().execute()
  const observed = new Map((await ports.substrate.list(AbortSignal.timeout(10_000))).map(({ machineId, power }) => [machineId, power]))
  for (const { id, state } of machines) {
    assert.ok(['ready', 'running', 'paused', 'stopped', 'failed', 'destroyed'].includes(state), `machine ${id} rests, but is ${state}`)
    if (state === 'destroyed') assert.equal(observed.has(id), false, `machine ${id} is destroyed, but something of it is left`)
    else assert.equal(observed.get(id), isAwake(state) ? 'running' : 'stopped', `machine ${id} is ${state}`)
  }
  const working = await db.selectFrom('runs').select(['machine_id', 'state']).where('ended_at', 'is', null).execute()
  for (const { id, state } of machines) {
    const run = working.find(({ machine_id }) => machine_id === id)
    if (state === 'running' || state === 'paused') assert.equal(run?.state, state, `machine ${id} is ${state}, and so is its run`)
    if (state === 'ready') assert.equal(run, undefined, `machine ${id} rests without a run`)
    if (state !== 'running') assert.notEqual(run?.state, 'running', `machine ${id} is ${state}, and its run waits`)
  }
  const openSteps = db.selectFrom('steps as s').innerJoin('runs as r', 'r.id', 's.run_id').select(['s.run_id', 's.index']).where('s.ended_at', 'is', null)
  assert.deepEqual(await openSteps.where('r.state', '<>', 'running').execute(), [], 'a run that rests has no step under way')
  const known = new Set(machines.map(({ id }) => id))
  for (const id of observed.keys()) assert.ok(known.has(id), `${id} exists without a row`)

  const living = new Set(machines.filter(({ state }) => state !== 'destroyed').map(({ id }) => id))
  const openRuns = new Set((await db.selectFrom('runs').select('id').where('ended_at', 'is', null).execute()).map(({ id }) => id))
  const budgets = await db.selectFrom('budgets').selectAll().execute()
  for (const { scope, scope_id, closed_at, reserved, settled, limit } of budgets) {
    assert.equal(reserved, 0n, `${scope} ${scope_id} has nothing reserved`)
    assert.ok(settled <= limit, `${scope} ${scope_id} is not overspent`)
    if (scope === 'machine') assert.equal(closed_at === null, living.has(scope_id as never), `the budget of machine ${scope_id} lives as long as it does`)
    if (scope === 'run') assert.equal(closed_at === null, openRuns.has(scope_id as never), `the budget of run ${scope_id} lives as long as it does`)
  }
  assert.deepEqual(await db.selectFrom('reservations').select('id').where('state', '=', 'open').execute(), [], 'no reservation is left')

  const archives = await db.selectFrom('machine_archives').select('id').where('state', 'in', ['taking', 'removing']).execute()
  assert.deepEqual(archives, [], 'every archive is there, or is not')

  assert.deepEqual(await readdir(ports.scratch.place), [], 'nothing is left of a drill')
  assert.deepEqual(await readdir(ports.imports.place), [], 'nothing is left of an import')
  for (const checkpoint of await db.selectFrom('checkpoints').selectAll().execute()) {
    assert.ok(['verified', 'failed', 'expired'].includes(checkpoint.state), `checkpoint ${checkpoint.id} has ended, but is ${checkpoint.state}`)
    if (checkpoint.state === 'expired') {
      assert.equal(checkpoint.snapshot, null, `checkpoint ${checkpoint.id} is expired, and its snapshot is said to be dropped`)
      await assert.rejects(
        readSnapshot(ports, checkpoint.id),
        { code: 'substrate.snapshot_gone' },
        `checkpoint ${checkpoint.id} is expired, and its snapshot is gone`,
      )
    }
    if (checkpoint.state !== 'verified' || verified.has(checkpoint.id)) continue
    verified.add(checkpoint.id)
    assert.ok(checkpoint.snapshot && checkpoint.manifest_sha256)
    const { ok, damaged } = await ports.store.of(checkpoint.project_id).verify(checkpoint.manifest_sha256, null, AbortSignal.timeout(30_000))
    assert.ok(ok, `checkpoint ${checkpoint.id} is damaged: ${damaged.join(', ')}`)
  }
}

async function readSnapshot({ substrate }: World['ports'], handle: string): Promise<void> {
  for await (const _ of substrate.changes(handle, null, AbortSignal.timeout(10_000))) return
}
