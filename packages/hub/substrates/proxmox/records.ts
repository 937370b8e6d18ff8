/** The rows of our VMs and snapshots: written before Proxmox is asked, so that whatever it made can be found by them. */
import { AutovibeError, type CheckpointId, type MachineId, type MachineLimits } from '@autovibe/contract'
import { nextVmid, type VmidRange } from '@autovibe/core/proxmox/vmids.ts'
import { type Selectable, sql, type Updateable } from 'kysely'
import type { Database } from '../../database/database.ts'
import type { KeptMeter, KeptUsage, ProxmoxSnapshotsTable, ProxmoxVmsTable } from '../../database/proxmox-tables.ts'

export type VmRecord = Selectable<ProxmoxVmsTable>
export type SnapshotRecord = Selectable<ProxmoxSnapshotsTable>

export interface NewVm {
  readonly machineId: MachineId
  readonly name: string
  readonly group: string | null
  readonly node: string
  readonly source: Source
  readonly tree: CheckpointId | 'empty'
  readonly limits: MachineLimits
}

/** What a VM is cloned from, always sharing its blocks. */
export interface Source {
  readonly vmid: number
  readonly node: string
  readonly snapshot: CheckpointId | null
}

const NUMBERS_TRIED_MAX = 20
/** Of a VM that is only there to be removed. */
const NO_LIMITS = JSON.stringify({ cores: 0, memory_bytes: 0, processes: 0, disk_bytes: 0, wall_seconds: 0 } satisfies MachineLimits)

export class VmRecords {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async find(machineId: MachineId): Promise<VmRecord | null> {
    return (await this.#db.selectFrom('proxmox_vms').selectAll().where('machine_id', '=', machineId).executeTakeFirst()) ?? null
  }

  all(): Promise<VmRecord[]> {
    return this.#db.selectFrom('proxmox_vms').selectAll().orderBy('created_at').execute()
  }

  /** Takes a number and writes the row; another Hub process that takes the same number at the same time loses and takes the next. */
  async add(vm: NewVm, range: VmidRange, isTaken: (vmid: number) => boolean): Promise<VmRecord> {
    const values = {
      machine_id: vm.machineId,
      node: vm.node,
      name: vm.name,
      machine_group: vm.group,
      source_vmid: vm.source.vmid,
      source_node: vm.source.node,
      source_snapshot: vm.source.snapshot,
      tree: vm.tree,
      limits: JSON.stringify(vm.limits),
    }
    return this.#numbered(range, isTaken, async (vmid) => {
      const row = await this.#db
        .insertInto('proxmox_vms')
        .values({ ...values, vmid })
        .onConflict((conflict) => conflict.doNothing())
        .returningAll()
        .executeTakeFirst()
      return row ?? this.find(vm.machineId)
    })
  }

  /** A row for a VM that is there without one, so that it can be removed like any other. */
  async adopt(machineId: MachineId, { vmid, node, name }: { readonly vmid: number; readonly node: string; readonly name: string }): Promise<VmRecord> {
    const values = {
      machine_id: machineId,
      vmid,
      node,
      name,
      source_vmid: 0,
      source_node: node,
      cloned_at: new Date(0),
      limits: NO_LIMITS,
      state: 'remains' as const,
    }
    const row = await this.#db
      .insertInto('proxmox_vms')
      .values(values)
      .onConflict((conflict) => conflict.doNothing())
      .returningAll()
      .executeTakeFirst()
    const record = row ?? (await this.find(machineId))
    if (record !== null) return record
    throw new AutovibeError('substrate.unavailable', `The number ${vmid} of an orphan is being given to another machine.`)
  }

  /** Another number, because this one is somebody else's. */
  renumber(record: VmRecord, range: VmidRange, isTaken: (vmid: number) => boolean): Promise<VmRecord> {
    return this.#numbered(
      range,
      (vmid) => vmid === record.vmid || isTaken(vmid),
      async (vmid) => {
        const taken = this.#db.selectFrom('proxmox_vms').select('vmid').where('vmid', '=', vmid)
        return (
          (await this.#db
            .updateTable('proxmox_vms')
            .set({ vmid, cloned_at: null, upid: null })
            .where('machine_id', '=', record.machine_id)
            .where(({ not, exists }) => not(exists(taken)))
            .returningAll()
            .executeTakeFirst()) ?? null
        )
      },
    )
  }

  /** Whether any VM of ours was, or is just being, cloned from a snapshot of this one, or from that one of them. */
  async hasClones(vmid: number, snapshot?: CheckpointId, which: 'any' | 'making' = 'any'): Promise<boolean> {
    const all = this.#db.selectFrom('proxmox_vms').select('vmid').where('source_vmid', '=', vmid).where('source_snapshot', 'is not', null)
    const clones = which === 'any' ? all : all.where('state', '=', 'making')
    const found = await (snapshot === undefined ? clones : clones.where('source_snapshot', '=', snapshot)).limit(1).executeTakeFirst()
    return found !== undefined
  }

  /** Throws where there is no such row any more. */
  async set(machineId: MachineId, change: Updateable<ProxmoxVmsTable>): Promise<VmRecord> {
    return this.#db.updateTable('proxmox_vms').set(change).where('machine_id', '=', machineId).returningAll().executeTakeFirstOrThrow()
  }

  /** The task has ended; another's that was recorded meanwhile stays. */
  async taskEnded(machineId: MachineId, upid: string): Promise<void> {
    await this.#db.updateTable('proxmox_vms').set({ upid: null }).where('machine_id', '=', machineId).where('upid', '=', upid).execute()
  }

  async keepUsage(machineId: MachineId, usage: KeptUsage): Promise<void> {
    await this.#db
      .updateTable('proxmox_vms')
      .set({ last_usage: JSON.stringify(usage) })
      .where('machine_id', '=', machineId)
      .execute()
  }

  /** A life has begun; what counted in the one before is charged by then. */
  async beginMeter(machineId: MachineId, meter: KeptMeter): Promise<void> {
    await this.set(machineId, { meter: JSON.stringify(meter) })
  }

  /** Another life that has begun meanwhile stays. */
  async keepMeter(machineId: MachineId, meter: KeptMeter): Promise<void> {
    await this.#db
      .updateTable('proxmox_vms')
      .set({ meter: JSON.stringify(meter) })
      .where('machine_id', '=', machineId)
      .where(sql<string>`meter ->> 'life'`, '=', meter.life)
      .execute()
  }

  /** As people call them. */
  async machineNames(machineIds: readonly MachineId[]): Promise<ReadonlyMap<MachineId, string>> {
    const rows = await this.#db.selectFrom('machines').select(['id', 'name']).where('id', 'in', machineIds).execute()
    return new Map(rows.map(({ id, name }) => [id, name]))
  }

  /** The VM is gone, and with it its snapshots. */
  async remove(machineId: MachineId): Promise<void> {
    await this.#db.transaction().execute(async (tx) => {
      await tx.deleteFrom('proxmox_snapshots').where('machine_id', '=', machineId).execute()
      await tx.deleteFrom('proxmox_vms').where('machine_id', '=', machineId).execute()
    })
  }

  async snapshot(checkpointId: CheckpointId): Promise<SnapshotRecord | null> {
    return (await this.#db.selectFrom('proxmox_snapshots').selectAll().where('checkpoint_id', '=', checkpointId).executeTakeFirst()) ?? null
  }

  /** Oldest first. */
  snapshots(machineId: MachineId): Promise<SnapshotRecord[]> {
    return this.#db.selectFrom('proxmox_snapshots').selectAll().where('machine_id', '=', machineId).orderBy('created_at').orderBy('checkpoint_id').execute()
  }

  async beginSnapshot(checkpointId: CheckpointId, machineId: MachineId): Promise<void> {
    await this.#db
      .insertInto('proxmox_snapshots')
      .values({ checkpoint_id: checkpointId, machine_id: machineId, consistency: 'fuzzy', in_vm: false })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  }

  async setSnapshot(checkpointId: CheckpointId, change: Updateable<ProxmoxSnapshotsTable>): Promise<void> {
    await this.#db.updateTable('proxmox_snapshots').set(change).where('checkpoint_id', '=', checkpointId).execute()
  }

  async removeSnapshot(checkpointId: CheckpointId): Promise<void> {
    await this.#db.deleteFrom('proxmox_snapshots').where('checkpoint_id', '=', checkpointId).execute()
  }

  async #numbered(range: VmidRange, isTaken: (vmid: number) => boolean, take: (vmid: number) => Promise<VmRecord | null>): Promise<VmRecord> {
    let lost = new Set<number>()
    for (let attempt = 0; attempt < NUMBERS_TRIED_MAX; attempt += 1) {
      const rows = await this.#db.selectFrom('proxmox_vms').select('vmid').execute()
      // Copies are named by the number: another machine of it would be taken for theirs.
      const archived = await this.#db.selectFrom('proxmox_archives').select('vmid').where('state', '<>', 'gone').execute()
      const ours = new Set([...rows, ...archived].map(({ vmid }) => vmid))
      const last = await this.#db.selectFrom('proxmox_numbers').select('last_vmid').executeTakeFirst()
      const vmid = nextVmid(range, last?.last_vmid ?? 0, (each) => ours.has(each) || lost.has(each) || isTaken(each))
      if (vmid === null) break
      // Remembered for itself: a number that was just given back may still be in the hands of a call that stalled.
      await this.#db.updateTable('proxmox_numbers').set({ last_vmid: vmid }).execute()
      const record = await take(vmid)
      if (record !== null) return record
      lost = new Set([...lost, vmid])
    }
    throw new AutovibeError('substrate.failed', `No number between ${range.from} and ${range.to} is free for another VM.`, {
      fix: 'Destroy machines that nobody needs, or give the Hub a larger range: autovibe substrate show',
    })
  }
}
