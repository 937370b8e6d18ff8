/** Operations through an outage of their substrate that is longer than all attempts, on a real PostgreSQL, a real substrate and real agents. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { CheckpointId, MachineId } from '@autovibe/contract'
import { errorOf } from '../substrates/proxmox/client/errors.ts'
import { assumedCapabilities } from '../substrates/proxmox/create-proxmox-substrate.ts'
import { LateSubstrate } from '../substrates/proxmox/late-substrate.ts'
import type { Substrate } from '../substrates/substrate.ts'
import { enqueue } from './engine/enqueue.ts'
import { silentLog } from './engine/testing.ts'
import { type EngineLife, engineLife } from './faults/engine-life.ts'
import { machineRow, openLocal, openWorld, type World } from './faults/world.ts'
import { registry } from './registry.ts'
import { spawnMachine } from './spawn-machine.ts'
import { projectBudget } from './steps/budgets.ts'

const LIMITS = { cores: 2, memory_bytes: 2 ** 32, processes: 2048, disk_bytes: 2 ** 34, wall_seconds: 86_400 }
/** A token that is refused would turn an operation round at once, were its refusal an ordinary failure. */
const REFUSALS = 3
/** How much faster time passes for whoever asks the cluster. */
const HURRY = 1_000
const PAUSE_MOST_MS = 20

let world: World
let life: EngineLife
let local: Substrate
let late: LateSubstrate
/** Calls that are still refused before the outage ends. */
let left = 0
before(async () => {
  world = await openWorld(async (parts) => {
    const real = await openLocal(parts)
    local = real.substrate
    late = lateOver(() => left > 0)
    await late.begin()
    const close = async (): Promise<void> => {
      await late.close()
      await real.close()
    }
    return { substrate: counted(), close }
  })
  life = engineLife(world, registry)
})
after(async () => {
  left = 0
  const { db } = world.database
  for (const { id } of await db.selectFrom('machines').select('id').where('state', '<>', 'destroyed').execute())
    await db.transaction().execute((tx) => world.requests.destroyMachine(tx, id))
  await life.settle()
  await life.close()
  await world.close()
})

test('a stop and a start that the substrate is away for wait as long as that lasts, and then are done', async () => {
  const machineId = await spawned()
  await outageOf(REFUSALS)
  await world.database.db.transaction().execute((tx) => world.requests.stopMachine(tx, machineId))
  await life.settle()
  assert.equal((await machineRow(world, machineId)).state, 'stopped')
  assert.equal(left, 0)
  await outageOf(REFUSALS)
  await world.database.db.transaction().execute((tx) => world.requests.startMachine(tx, machineId))
  await life.settle()
  assert.equal((await machineRow(world, machineId)).state, 'ready')
  assert.deepEqual(await endsOf(machineId), ['spawn-machine done', 'stop-machine done', 'start-machine done'])
})

test('a checkpoint whose tree was frozen before is stored and verified after it', async () => {
  const machineId = await spawned()
  const { checkpointId } = await world.database.db.transaction().execute((tx) => world.requests.createCheckpoint(tx, machineId, 'before'))
  frozen = () => outageOf(REFUSALS)
  await life.settle()
  assert.equal(left, 0)
  assert.equal(await stateOf(checkpointId), 'verified')
})

test('a checkpoint asked for meanwhile is refused at once, so that a working agent goes on', async () => {
  const machineId = await spawned()
  await outageOf(1)
  await assert.rejects(
    world.database.db.transaction().execute((tx) => world.requests.createCheckpoint(tx, machineId, 'meanwhile')),
    { code: 'substrate.away' },
  )
  assert.equal((await machineRow(world, machineId)).state, 'ready')
  left = 0
})

/** Called once when a snapshot has been taken. */
let frozen: () => Promise<void> = async () => undefined

/** A call during an outage is one that an operation has tried. */
function counted(): Substrate {
  return new Proxy(local, {
    get(_, name) {
      const value: unknown = Reflect.get(late, name)
      if (typeof value !== 'function') return value
      if (name === 'snapshot')
        return async (...args: unknown[]) => {
          const snapshot: unknown = await Reflect.apply(value, late, args)
          await frozen()
          frozen = async () => undefined
          return snapshot
        }
      const isTold = name === 'trouble' || name === 'findings' || name === 'capabilities' || name === 'measure'
      return (...args: unknown[]) => {
        if (!isTold && left > 0) left -= 1
        return Reflect.apply(value, late, args)
      }
    },
  })
}

async function outageOf(refusals: number): Promise<void> {
  left = refusals
  await late.close()
  late = lateOver(() => left > 0)
  await late.begin()
  assert.ok(late.trouble())
}

function lateOver(isAway: () => boolean): LateSubstrate {
  return new LateSubstrate({
    cluster: 'lab',
    assumed: assumedCapabilities(LIMITS),
    open: async () => {
      if (isAway()) throw errorOf({ kind: 'credentials', words: 'No ticket', errors: {} }, 'GET /version', false)
      return { substrate: local, close: async () => undefined }
    },
    settingsVersion: async () => '1',
    wasAskedFor: async () => true,
    forget: async () => undefined,
    clock: {
      nowMs: () => performance.now() * HURRY,
      chance: () => 0,
      pause: (ms, signal) => delay(Math.min(ms, PAUSE_MOST_MS), undefined, signal === undefined ? {} : { signal }),
    },
    logger: silentLog,
  })
}

async function spawned(): Promise<MachineId> {
  const { db } = world.database
  await db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
  const { id: machineId } = await world.newMachine(null)
  const input = { machineId, projectId: world.projectId, runId: null, from: null, limitNanoUsd: '1000000000' }
  await db.transaction().execute((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
  await life.settle()
  assert.equal((await machineRow(world, machineId)).state, 'ready')
  return machineId
}

const endsOf = async (machineId: MachineId): Promise<string[]> =>
  (await world.database.db.selectFrom('operations').select(['kind', 'state']).where('machine_id', '=', machineId).orderBy('id').execute()).map(
    ({ kind, state }) => `${kind} ${state}`,
  )

const stateOf = async (id: CheckpointId): Promise<string> =>
  (await world.database.db.selectFrom('checkpoints').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state
