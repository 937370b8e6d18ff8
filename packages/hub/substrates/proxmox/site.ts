/** What all parts of the Proxmox substrate share: how the cluster is reached, what it is told to use, and who else is needed. */
import type { MachineId, MachineLimits } from '@autovibe/contract'
import type { VmidRange } from '@autovibe/core/proxmox/vmids.ts'
import type { KeyedLock } from '../keyed-lock.ts'
import type { ArchiveRecords } from './archives/records.ts'
import type { ProxmoxClient } from './client/client.ts'
import type { Slots } from './client/slots.ts'
import type { GuestLinks, StoredTrees } from './guest-links.ts'
import type { VmRecords } from './records.ts'
import type { VmMeters } from './vm-meters.ts'

export interface ProxmoxLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface ProxmoxSettings {
  /** The pool of our VMs and templates: on nothing else the token may do anything. */
  readonly pool: string
  /** With local storages one for each node. */
  readonly templates: readonly { readonly vmid: number; readonly node: string }[]
  /** Where the disks of machines lie. */
  readonly storage: string
  readonly bridge: string
  readonly vmids: VmidRange
  /** Null: every node of the cluster. */
  readonly nodes: readonly string[] | null
  /** Where machines reach the gate. */
  readonly gate: { readonly host: string; readonly port: number }
  /** Proxmox's `ipconfig0` for the VM of this number, and its `nameserver`. */
  readonly ipConfig: (vmid: number) => string
  readonly nameserver?: string | undefined
  /** Machines of one group keep apart while there are nodes enough. */
  readonly spread: boolean
  /** Snapshots that a VM may have at once; older ones live on in the store. */
  readonly snapshotsMost: number
  /** Whether snapshots keep the memory too. */
  readonly withMemory: boolean
  readonly defaultLimits: MachineLimits
  readonly archive: ArchiveSettings
}

/** Where whole machines are copied to. */
export interface ArchiveSettings {
  /** Null: none is taken; those of before are still looked at. */
  readonly storage: string | null
  /** Of one machine. */
  readonly keep: number
  /** By which our tasks are known from those of others. */
  readonly tokenId: string
}

/** How long things may take, in ms. */
export interface ProxmoxPatience {
  /** One task of Proxmox: a full clone of a large disk. */
  readonly taskMs: number
  /** From the start of a VM until its guest is linked. */
  readonly bootMs: number
  /** For a guest that should be linked already: they dial again after ten seconds at most. */
  readonly linkMs: number
  /** That a guest has to end its agent, before its VM is turned off. */
  readonly haltMs: number
  /** For trees that a rollback of the whole VM would throw away until the store has them. */
  readonly storeMs: number
  /** That a VM without an agent stays on, for whoever reads its trees. */
  readonly idleMs: number
  /** For a copy of a whole VM, with the time that it waits for other copies on its node. */
  readonly archiveMs: number
}

export const PATIENCE: ProxmoxPatience = {
  taskMs: 15 * 60_000,
  bootMs: 180_000,
  linkMs: 12_000,
  haltMs: 25_000,
  storeMs: 5 * 60_000,
  idleMs: 60_000,
  archiveMs: 12 * 3_600_000,
}

export interface Site {
  readonly client: ProxmoxClient
  readonly hubId: string
  readonly settings: ProxmoxSettings
  readonly patience: ProxmoxPatience
  readonly records: VmRecords
  readonly archives: ArchiveRecords
  /** What the cluster counts of the VMs. */
  readonly meters: VmMeters
  /** RBD: a snapshot cannot be removed, nor its volume, while a clone grows out of it; an attempt would leave the VM locked. */
  readonly clonesHold: boolean
  readonly links: GuestLinks
  readonly trees: StoredTrees
  readonly tokenOf: (machineId: MachineId) => Promise<string>
  readonly logger: ProxmoxLogger
  /** One thing at a time for each machine. */
  readonly locks: KeyedLock
  /** Clones in flight of one source: more of them only wait for each other's locks in Proxmox. */
  readonly clones: (sourceVmid: number) => Slots
  /** Machines whose trees are being read right now, and until when each VM was last needed (ms since 1970). */
  readonly readers: Map<MachineId, number>
  readonly neededMs: Map<MachineId, number>
}
