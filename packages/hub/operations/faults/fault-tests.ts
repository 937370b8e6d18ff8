/** Puts every fault into every step of operations, on a real PostgreSQL, a real substrate and real agents. Afterwards the world is whole. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { CheckpointId, MachineId, OperationState } from '@autovibe/contract'
import { enqueue, requestCancel } from '../engine/enqueue.ts'
import { registry } from '../registry.ts'
import { spawnMachine } from '../spawn-machine.ts'
import { projectBudget } from '../steps/budgets.ts'
import { assertAtRest } from './at-rest.ts'
import { type EngineLife, engineLife } from './engine-life.ts'
import { type Fault, faultsFor, inject } from './fault.ts'
import { SCENARIOS } from './scenarios.ts'
import { sweepUntilQuiet } from './sweep-until-quiet.ts'
import { machineRow, type World } from './world.ts'

const BUDGET_NANO_USD = '1000000000'
const SWEEPS_MAX = 4
const DONE: readonly OperationState[] = ['done']

/** How the operation may end: what passes must not undo it, what refuses may (an undo is not the same as a failure to undo). */
const OUTCOMES: Readonly<Record<Fault, readonly OperationState[]>> = {
  'crash before the effect': DONE,
  'crash after the effect, before the record': DONE,
  'an error once, then well': DONE,
  'the answer lost after the effect': DONE,
  'the call made twice': DONE,
  'a cancel during the step': ['done', 'cancelled'],
  'a refusal before the effect': ['failed'],
  'a refusal after the effect': ['failed'],
  'a stalled call that lands after the end': ['failed'],
  'a refusal, and a crash in its undo': ['failed'],
  'a refusal, and an error once in its undo': ['failed'],
}

let world: World
let life: EngineLife
let checkpointId: CheckpointId
const readBack = new Set<string>()
const ENDS_MACHINE = new Set(['destroy-machine'])

/** Registers a test for each fault in each step of the operations that are wanted, in a world of their own. */
export function faultTests(open: () => Promise<{ readonly world: World; close(): Promise<void> }>, isWanted: (kind: string) => boolean): void {
  let close: (() => Promise<void>) | undefined
  before(async () => {
    const opened = await open()
    world = opened.world
    close = opened.close
    life = engineLife(world, registry)
    const first = await readyMachine(null)
    const asked = await world.database.db.transaction().execute((tx) => world.requests.createCheckpoint(tx, first, 'the start'))
    await life.settle()
    checkpointId = asked.checkpointId
    await assertAtRest(world, readBack)
  })
  after(async () => {
    await life?.close()
    await close?.()
  })

  for (const { kind, steps, cancellable } of registry.values()) {
    if (!isWanted(kind)) continue
    describe(kind, () => {
      for (const step of steps) {
        for (const fault of faultsFor(step)) {
          test(`${fault}, in step ${step.name}, leaves nothing half done`, () => schedule(kind, step.name, fault, cancellable))
        }
      }
    })
  }
}

async function schedule(kind: string, step: string, fault: Fault, cancellable: boolean): Promise<void> {
  const machineId = await readyMachine(checkpointId)
  const scenario = SCENARIOS[kind]
  assert.ok(scenario)
  const earlier = new Set((await operationsOf(kind)).map(({ id }) => id))
  let cancelling: Promise<unknown> = Promise.resolve()
  const faulty = inject(registry, kind, step, fault, {
    crash: () => life.crash(),
    requestCancel: () => {
      cancelling = world.database.db.transaction().execute(async (tx) => {
        // During the last step the operation may end first; then the cancel came too late.
        const underWay = await tx.selectFrom('operations').select('id').where('kind', '=', kind).where('ended_at', 'is', null).executeTakeFirst()
        if (underWay) await requestCancel(tx, world.clock, underWay.id)
      })
    },
  })
  await scenario({ world, machineId, checkpointId, settle: () => life.settle() })
  life.useRegistry(faulty.registry)
  await life.settle()
  await cancelling
  life.useRegistry(registry)
  await faulty.land()
  await sweepUntilQuiet(world, life, SWEEPS_MAX)

  assert.ok(faulty.fired(), 'the fault happened')
  // The first of its kind is the one that was hit; the sweep may have begun others to put things right.
  const hit = (await operationsOf(kind)).find(({ id }) => !earlier.has(id))
  assert.ok(hit)
  const { state, error } = hit
  assert.ok(OUTCOMES[fault].includes(state), `${state} ${JSON.stringify(error)}`)
  assert.ok(cancellable || state !== 'cancelled')
  await assertAtRest(world, readBack)
  // Only being destroyed destroys: whatever goes wrong in the rest, the tree is kept.
  if (!ENDS_MACHINE.has(kind)) assert.notEqual((await machineRow(world, machineId)).state, 'destroyed')
  await destroyAllBut(machineId)
}

const operationsOf = (kind: string) =>
  world.database.db.selectFrom('operations').select(['id', 'state', 'error']).where('kind', '=', kind).orderBy('id').execute()

/** The machine that is left from the schedule before, if it is still fit, or a new one. */
async function readyMachine(from: CheckpointId | null): Promise<MachineId> {
  const { db } = world.database
  const left = await db.selectFrom('machines').select('id').where('state', '=', 'ready').executeTakeFirst()
  if (left) return left.id
  await destroyAllBut(null)
  await db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
  const { id: machineId } = await world.newMachine(from)
  const input = { machineId, projectId: world.projectId, runId: null, from, limitNanoUsd: BUDGET_NANO_USD }
  await db.transaction().execute((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
  await life.settle()
  assert.equal((await machineRow(world, machineId)).state, 'ready')
  return machineId
}

async function destroyAllBut(kept: MachineId | null): Promise<void> {
  const { db } = world.database
  const living = await db.selectFrom('machines').select('id').where('state', '<>', 'destroyed').execute()
  for (const { id } of living) {
    if (id !== kept) await db.transaction().execute((tx) => world.requests.destroyMachine(tx, id))
  }
  await life.settle()
}
