/**
 * The port that every substrate implements. Calls are at-least-once: each looks first and then acts, so that a call repeated after a crash
 * or a lost answer ends in the same state and answers the same. Names outside derive from the ids given here, never from an answer.
 * Errors are `AutovibeError`; `retryable` says whether the same call may succeed later.
 */

import type { Readable } from 'node:stream'
import type { CheckpointId, Finding, MachineId, MachineLimits, ManifestEntry, SubstrateTier } from '@autovibe/contract'
import type { HostSize } from '@autovibe/core/limits/choose.ts'
import type { MachineArchives } from './archives.ts'

export type { MachineArchives, TakenArchive } from './archives.ts'

/** The substrate's own name for a snapshot; opaque to everyone else, at most 200 characters. */
export type SnapshotHandle = string

export interface Capabilities {
  readonly tier: SubstrateTier
  /** What the tier means, in words a person reads before a run ("all namespaces, no network but the Hub"). */
  readonly summary: string
  /** False for a machine that a hostile agent could leave; real agents are refused on it without an explicit flag. */
  readonly isolated: boolean
  /** A snapshot can be taken without stopping the machine. */
  readonly liveSnapshot: boolean
  /** Fork and rollback do not grow with the size of the tree. */
  readonly constantTimeFork: boolean
  /** What a machine may take for which nobody says otherwise, chosen from the host. */
  readonly defaultLimits: MachineLimits
  /** The most that a single machine could be given here: that of the host, or of the largest of several. */
  readonly most: HostSize
}

export interface CreateMachine {
  readonly machineId: MachineId
  readonly name: string
  /** Null: an empty tree (`project/`, `home/`). */
  readonly from: SnapshotHandle | null
  /** The machine's own token for door and gateway; the only secret that is ever inside. */
  readonly token: string
  /** What it may take from its first start on; left out: the default. */
  readonly limits?: MachineLimits | undefined
  /** Machines of one group (a project) are kept apart where there are several hosts to choose from. */
  readonly group?: string | undefined
}

export type Power = 'running' | 'stopped'

export interface ObservedMachine {
  readonly machineId: MachineId
  readonly power: Power
  /** When the substrate first made it, where it is known. */
  readonly createdAt: Date | null
}

export interface Snapshot {
  readonly handle: SnapshotHandle
  /** `fuzzy`: a file was open for writing while the tree was copied. */
  readonly consistency: 'consistent' | 'fuzzy'
}

/** A file that stays where it is until it is released, also when the changes have come to their end. */
export interface HeldFile {
  readonly path: Buffer
  release(): void
}

/** One difference between a snapshot and an earlier one, or (without an earlier one) one entry of the whole tree. Parents come before children. */
export type TreeChange =
  | {
      readonly kind: 'put'
      readonly entry: Omit<ManifestEntry, 'sha256'>
      /** Only for files; may be called once. */
      readonly open: () => Readable
      /** Only for files that lie on this host and may be read there by whoever does not follow links, which is quicker. */
      readonly hold?: () => HeldFile
    }
  | { readonly kind: 'remove' /** With everything beneath it. */; readonly path: string }

export interface Figure {
  readonly value: number
  /** `estimated`: looked at from time to time, so that what lies between two looks is missed. */
  readonly quality: 'measured' | 'estimated'
}

/** What a machine takes, or took by its end: counters begin at zero with each life, which is from one start to the next end. */
export interface Usage {
  readonly life: string
  readonly cpuSeconds: Figure
  readonly memoryBytes: Figure
  readonly peakMemoryBytes: Figure
  /** With threads. */
  readonly processes: Figure
  /** Of its tree, with what it shares; looked at in the background, null until the first look has ended. */
  readonly diskBytes: Figure | null
  /** How often the kernel has ended a process for memory, or refused another process, in this life; null where nobody counts. */
  readonly refused: { readonly memory: number | null; readonly processes: number | null }
  /** What its network cards carried in this life, both ways; null until they were looked at, left out where a machine has none. */
  readonly networkBytes?: Figure | null
  /** Where a machine itself tells far less than its host saw: both words. What counts is the larger. */
  readonly doubt?: { readonly toldCpuSeconds: number; readonly seenCpuSeconds: number } | null
}

export interface Substrate {
  readonly name: 'local' | 'proxmox'
  capabilities(): Capabilities
  /** Everything that was tried on this host, for `doctor`. */
  findings(): readonly Finding[]
  /** What keeps it from working just now, told by the Hub's health; missing where nothing can. */
  trouble?(): Finding | null

  /** The machine exists, stopped, with the tree it shall start from. */
  create(machine: CreateMachine, signal: AbortSignal): Promise<void>
  /** The machine runs and its agent was started. */
  start(machineId: MachineId, signal: AbortSignal): Promise<void>
  /** The machine does not run; its tree is kept. A machine that does not exist counts as stopped. */
  stop(machineId: MachineId, signal: AbortSignal): Promise<void>
  /** Nothing of the machine is left but its snapshots. A machine that does not exist counts as destroyed. */
  destroy(machineId: MachineId, signal: AbortSignal): Promise<void>

  /** The tree as it is now, frozen under the checkpoint's name; the machine goes on. */
  snapshot(machineId: MachineId, checkpointId: CheckpointId, signal: AbortSignal): Promise<Snapshot>
  /** The machine, stopped, has the snapshot's tree; what it had since is gone. */
  rollback(machineId: MachineId, to: SnapshotHandle, signal: AbortSignal): Promise<void>
  dropSnapshot(handle: SnapshotHandle, signal: AbortSignal): Promise<void>
  /**
   * A snapshot under the checkpoint's name of a tree that no machine has had: what `write` puts into the empty folder it is given. `machineId` is whom it counts to. Missing
   * where trees do not lie on this host: there, whatever the store has verified is a snapshot under its checkpoint's id.
   */
  plant?(machineId: MachineId, checkpointId: CheckpointId, write: (folder: string) => Promise<void>, signal: AbortSignal): Promise<Snapshot>
  /** What changed since `since`, which must be a snapshot on the same line (or null for everything). */
  changes(handle: SnapshotHandle, since: SnapshotHandle | null, signal: AbortSignal): AsyncIterable<TreeChange>

  /** Of the machine's life now, or of its last one, also when it ended by itself; null when none is known. Quick: it is asked every few seconds. */
  measure(machineId: MachineId, signal: AbortSignal): Promise<Usage | null>
  /** From now on these limits hold, for a machine that runs at once as far as the host can. A machine that does not exist has none. */
  limit(machineId: MachineId, limits: MachineLimits, signal: AbortSignal): Promise<void>
  /** Copies of whole machines outside of it; missing where it can make none. */
  readonly archives?: MachineArchives
  /** All that exists with our mark, whether the Hub knows of it or not. */
  list(signal: AbortSignal): Promise<readonly ObservedMachine[]>
}

/** How a substrate lets a machine reach its Hub; main.ts gives it to the substrate, the substrate calls it before a machine starts. */
export interface DoorListener {
  /** Listens on this unix socket and answers as this machine's door and gateway; listening twice on the same path is no error. */
  listen(machineId: MachineId, socketPath: string): Promise<void>
  close(machineId: MachineId): Promise<void>
}
