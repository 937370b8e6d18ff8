/** What the tests of archives play on: a world on a cluster with a place for archives, a ready machine, and short ways to ask for one. */
import type { MachineArchiveId, MachineId } from '@autovibe/contract'
import { asker } from '../../../../../test/proxmox/ask.ts'
import type { FaultHook } from '../../../../../test/proxmox/faults.ts'
import type { StorageType, Volume } from '../../../../../test/proxmox/storages.ts'
import { enqueue } from '../../../operations/engine/enqueue.ts'
import { type EngineLife, engineLife } from '../../../operations/faults/engine-life.ts'
import { registry } from '../../../operations/registry.ts'
import { spawnMachine } from '../../../operations/spawn-machine.ts'
import { projectBudget } from '../../../operations/steps/budgets.ts'
import { openProxmoxWorld, type ProxmoxWorld } from '../test-world.ts'

/** A copy takes half a second, so that one can look at it meanwhile. */
const COPY_S_PER_GIB = 60

export interface ArchiveStage extends ProxmoxWorld {
  readonly life: EngineLife
  readonly root: ReturnType<typeof asker>
  readyMachine(): Promise<MachineId>
  /** Asked for, and not waited for. */
  ask(machineId: MachineId): Promise<MachineArchiveId>
  /** Asked for, and at rest again. */
  archive(machineId: MachineId): Promise<MachineArchiveId>
  remove(archiveId: MachineArchiveId): Promise<void>
  row(archiveId: MachineArchiveId): ReturnType<typeof rowOf>
  /** How the last operation of this kind has ended. */
  ended(kind: string): Promise<{ state: string; error: { code: string; message: string; fix: string | null } | null }>
  /** What lies on the storage of archives. */
  volumes(): Volume[]
  vmidOf(machineId: MachineId): Promise<number>
  /** The first call of this template meets it. */
  once(template: string, fault: NonNullable<ReturnType<FaultHook>>): void
}

/** With one machine on it that is at rest. */
export async function openReadyStage(): Promise<{ stage: ArchiveStage; machineId: MachineId; vmid: number }> {
  const stage = await openArchiveStage()
  const machineId = await stage.readyMachine()
  return { stage, machineId, vmid: await stage.vmidOf(machineId) }
}

async function openArchiveStage(archive: StorageType = 'pbs'): Promise<ArchiveStage> {
  const proxmox = await openProxmoxWorld(
    { storage: 'lvmthin', archive, nodes: 2, standIn: { durations: { copyPerGib: COPY_S_PER_GIB } } },
    { storeMs: 5_000, bootMs: 10_000, linkMs: 2_000, idleMs: 500 },
  )
  const { world, cluster } = proxmox
  const { db } = world.database
  const life = engineLife(world, registry)
  const ask = async (machineId: MachineId) => (await db.transaction().execute((tx) => world.requests.archiveMachine(tx, machineId))).archiveId
  return {
    ...proxmox,
    life,
    root: asker(cluster.pve),
    ask,
    readyMachine: async () => {
      await db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
      const { id: machineId } = await world.newMachine(null)
      const input = { machineId, projectId: world.projectId, runId: null, from: null, limitNanoUsd: '1000000' }
      await db.transaction().execute((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
      await life.settle()
      return machineId
    },
    archive: async (machineId) => {
      const id = await ask(machineId)
      await life.settle()
      return id
    },
    remove: async (archiveId) => {
      await db.transaction().execute((tx) => world.requests.removeArchive(tx, archiveId))
      await life.settle()
    },
    row: (archiveId) => rowOf(proxmox, archiveId),
    ended: async (kind) =>
      db.selectFrom('operations').select(['state', 'error']).where('kind', '=', kind).orderBy('id', 'desc').limit(1).executeTakeFirstOrThrow(),
    volumes: () => cluster.pve.cluster.storages.volumes(cluster.pve.cluster.storages.get('archives'), 'pve1'),
    vmidOf: async (machineId) => (await db.selectFrom('proxmox_vms').select('vmid').where('machine_id', '=', machineId).executeTakeFirstOrThrow()).vmid,
    once: (template, fault) => {
      let met = false
      cluster.pve.setFaults((call) => {
        if (met || `${call.method} ${call.template}` !== template) return null
        met = true
        return fault
      })
    },
    close: async () => {
      cluster.pve.setFaults(null)
      await life.close()
      await proxmox.close()
    },
  }
}

const rowOf = ({ world }: ProxmoxWorld, archiveId: MachineArchiveId) =>
  world.database.db.selectFrom('machine_archives').selectAll().where('id', '=', archiveId).executeTakeFirstOrThrow()

/** Tasks that copied the VM. */
export const copyTasks = ({ cluster }: ProxmoxWorld, vmid: number): string[] =>
  cluster.pve.cluster.tasks.all.filter(({ type, id }) => type === 'vzdump' && id === String(vmid)).map(({ upid }) => upid)
