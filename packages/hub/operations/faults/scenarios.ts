/** For each operation: the world it needs, and how it is asked for. An operation without a line here makes the harness red. */
import { type CheckpointId, CreateRun, type MachineId, type OperationId, tarEnd, tarHeader, tarPadding } from '@autovibe/contract'
import { enqueue } from '../engine/enqueue.ts'
import { expireCheckpoints } from '../expire-checkpoints.ts'
import { failMachine } from '../fail-machine.ts'
import { removeOrphan } from '../remove-orphan.ts'
import { spawnMachine } from '../spawn-machine.ts'
import { projectBudget } from '../steps/budgets.ts'
import type { World } from './world.ts'

const BUDGET_NANO_USD = '1000000000'

export interface Stage {
  readonly world: World
  /** A ready machine of the project. */
  readonly machineId: MachineId
  /** A verified checkpoint of it. */
  readonly checkpointId: CheckpointId
  /** Works until everything has come to rest. */
  settle(): Promise<void>
}

type Scenario = (stage: Stage) => Promise<OperationId>

/** Those that need a substrate which takes archives. */
export const OF_ARCHIVES: ReadonlySet<string> = new Set(['archive-machine', 'remove-archive'])

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'spawn-machine': async ({ world, checkpointId }) => {
    await world.database.db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
    const machine = await world.newMachine(checkpointId)
    return world.database.db
      .transaction()
      .execute((tx) =>
        enqueue(
          tx,
          world.clock,
          spawnMachine,
          { machineId: machine.id, projectId: world.projectId, runId: null, from: checkpointId, limitNanoUsd: BUDGET_NANO_USD },
          { projectId: world.projectId, machineId: machine.id },
        ),
      )
  },
  'run-prompt': async ({ world, machineId }) => {
    const { name } = await world.database.db.selectFrom('machines').select('name').where('id', '=', machineId).executeTakeFirstOrThrow()
    const input = CreateRun.parse({ project: world.projectId, machine: name, prompt: 'Say hello', provider: 'nobody', budget: '1000000' })
    return (await world.database.db.transaction().execute((tx) => world.requests.createRun(tx, input))).operationId
  },
  'create-checkpoint': async ({ world, machineId }) =>
    (await world.database.db.transaction().execute((tx) => world.requests.createCheckpoint(tx, machineId, 'by hand'))).operationId,
  'store-checkpoint': async ({ world, machineId }) => {
    await world.database.db.transaction().execute((tx) => world.requests.createCheckpoint(tx, machineId, 'to be stored'))
    // The operation of interest is the one that this one begins; the harness finds it by its kind.
    return (await world.database.db.selectFrom('operations').select('id').where('ended_at', 'is', null).executeTakeFirstOrThrow()).id
  },
  'verify-checkpoint': async ({ world, checkpointId }) =>
    (await world.database.db.transaction().execute((tx) => world.requests.verifyCheckpoint(tx, checkpointId, true))).operationId,
  'import-checkpoint': async ({ world }) => {
    const checkpointId = world.clock.newId('checkpoint')
    await world.ports.imports.keep(checkpointId, smallTar(), { contents: 'project', timeMs: 0 })
    const imported = { checkpointId, projectId: world.projectId, contents: 'project', label: 'from elsewhere', commit: null } as const
    return (await world.database.db.transaction().execute((tx) => world.requests.importCheckpoint(tx, imported))).operationId
  },
  'fork-checkpoint': async ({ world, checkpointId }) =>
    (await world.database.db.transaction().execute((tx) => world.requests.forkCheckpoint(tx, checkpointId, { budget: BigInt(BUDGET_NANO_USD) }))).operationId,
  'rollback-machine': async ({ world, machineId, checkpointId }) =>
    (await world.database.db.transaction().execute((tx) => world.requests.rollbackMachine(tx, machineId, checkpointId))).operationId,
  'stop-machine': async ({ world, machineId }) =>
    (await world.database.db.transaction().execute((tx) => world.requests.stopMachine(tx, machineId))).operationId,
  'start-machine': async ({ world, machineId, settle }) => {
    await world.database.db.transaction().execute((tx) => world.requests.stopMachine(tx, machineId))
    await settle()
    return (await world.database.db.transaction().execute((tx) => world.requests.startMachine(tx, machineId))).operationId
  },
  'destroy-machine': async ({ world, machineId }) =>
    (await world.database.db.transaction().execute((tx) => world.requests.destroyMachine(tx, machineId))).operationId,
  'fail-machine': async ({ world, machineId }) =>
    world.database.db
      .transaction()
      .execute((tx) => enqueue(tx, world.clock, failMachine, { machineId, reason: 'It was silent.' }, { projectId: world.projectId, machineId })),
  'remove-orphan': async ({ world }) => {
    const machineId = world.clock.newId('machine')
    await world.ports.substrate.create({ machineId, name: 'orphan', from: null, token: 'avm_orphan' }, AbortSignal.timeout(10_000))
    return world.database.db.transaction().execute((tx) => enqueue(tx, world.clock, removeOrphan, { machineId }, { projectId: null, machineId: null }))
  },
  'expire-checkpoints': async ({ world, machineId, settle }) => {
    const taken: CheckpointId[] = []
    for (const label of ['to be let go', 'to stay']) {
      taken.push((await world.database.db.transaction().execute((tx) => world.requests.createCheckpoint(tx, machineId, label))).checkpointId)
      await settle()
    }
    const rules = { keep_last: 1, hourly: 0, daily: 0, weekly: 0 }
    const input = { projectId: world.projectId, checkpointIds: taken, rules }
    return world.database.db.transaction().execute((tx) => enqueue(tx, world.clock, expireCheckpoints, input, { projectId: world.projectId, machineId: null }))
  },
  'archive-machine': async ({ world, machineId }) =>
    (await world.database.db.transaction().execute((tx) => world.requests.archiveMachine(tx, machineId))).operationId,
  'remove-archive': async ({ world, machineId, settle }) => {
    const { db } = world.database
    // With another one, older ones would be removed before this.
    const left = await db.selectFrom('machine_archives').select('id').where('state', '=', 'stored').orderBy('id').executeTakeFirst()
    const archiveId = left?.id ?? (await db.transaction().execute((tx) => world.requests.archiveMachine(tx, machineId))).archiveId
    await settle()
    return (await db.transaction().execute((tx) => world.requests.removeArchive(tx, archiveId))).operationId
  },
}

async function* smallTar(): AsyncGenerator<Uint8Array, void> {
  const content = Buffer.from('from elsewhere')
  yield tarHeader({ path: Buffer.from('folder/file'), type: 'file', mode: 0o644, size: content.length, mtimeMs: 0, target: null })
  yield content
  yield tarPadding(content.length)
  yield tarHeader({ path: Buffer.from('folder/same'), type: 'link', mode: 0o644, size: 0, mtimeMs: 0, target: Buffer.from('folder/file') })
  yield tarEnd()
}
