/**
 * The port to what runs as root inside a machine's VM, its guest: it dials the Hub over TLS, keeps the tree and its frozen copies, and starts the agent. All it says is hostile
 * input. Errors are `AutovibeError`; `substrate.unavailable`, which is retryable, while nobody is linked.
 */
import type { CheckpointId, MachineId } from '@autovibe/contract'
import type { StoredState } from '@autovibe/core/proxmox/held-trees.ts'
import type { Figure, Snapshot, TreeChange } from '../substrate.ts'

/** How a new VM finds its Hub and is let in, once; goes to the guest in the serial number of its SMBIOS, at most 200 characters of printable ASCII without blanks. */
export type Invitation = string

export interface GuestState {
  /** Differs with each boot of the VM. */
  readonly boot: string
  /** Milliseconds since that boot. */
  readonly upMs: number
  readonly agent: 'running' | 'stopped'
  /** Of the agent and all that it has started, in its life now or the last one; empty before its first. */
  readonly life: string
  readonly cpuSeconds: number
  readonly memoryBytes: number
  readonly peakMemoryBytes: number
  readonly processes: number
  /** Of these figures. */
  readonly quality: Figure['quality']
  /** Of the tree; null until the first look has ended. */
  readonly diskBytes: number | null
  readonly refused: { readonly memory: number | null; readonly processes: number | null }
  /** The checkpoints of which this disk has a frozen tree. */
  readonly frozen: readonly CheckpointId[]
  /** Whether the disk has a tree at all: one that was just cloned from a template has none until it is given one. */
  readonly hasTree: boolean
}

export interface AgentStart {
  readonly machineId: MachineId
  readonly name: string
  /** The machine's own token for door and gateway. */
  readonly token: string
  readonly memoryBytes: number
  readonly processes: number
  /** No single file may be larger. */
  readonly diskBytes: number
}

/** A guest that is linked now. Each call may be repeated: it looks first, then acts. */
export interface Guest {
  state(signal: AbortSignal): Promise<GuestState>
  /** The agent runs; one that runs already with the same token is left alone. */
  startAgent(start: AgentStart, signal: AbortSignal): Promise<void>
  /** Nothing of the agent runs any more. */
  stopAgent(signal: AbortSignal): Promise<void>
  /** The tree as it is now, under the checkpoint's name, on this disk; the agent goes on. */
  freeze(checkpointId: CheckpointId, signal: AbortSignal): Promise<Snapshot['consistency']>
  /** What lies between two frozen trees of this disk, or all of one; `substrate.snapshot_gone` where one of them is not there. */
  changes(checkpointId: CheckpointId, since: CheckpointId | null, signal: AbortSignal): AsyncIterable<TreeChange>
  /** The frozen tree is gone. One that is not there is no error. */
  thaw(checkpointId: CheckpointId, signal: AbortSignal): Promise<void>
  /** The tree is that of the frozen one. The agent must not run. */
  rollBack(checkpointId: CheckpointId, signal: AbortSignal): Promise<void>
  /** The tree is that of this tar of everything that a checkpoint holds; null: an empty one. The agent must not run. */
  plant(tar: AsyncIterable<Uint8Array> | null, signal: AbortSignal): Promise<void>
  /** All that was written is on the disk. */
  sync(signal: AbortSignal): Promise<void>
}

export interface GuestLinks {
  /** An invitation for a machine's VM. Another one makes the earlier ones void; what a guest was given for one stays good beside it until `forget`. */
  invite(machineId: MachineId): Promise<Invitation>
  /** Whether this, which a VM was told, is its latest invitation and leads here. */
  isValid(machineId: MachineId, invitation: Invitation): boolean
  /** Whether the latest invitation leads here: the gate may have another address or certificate by now. */
  leadsHere(machineId: MachineId): boolean
  /** The guest that is linked for this machine, now or within the time. */
  linked(machineId: MachineId, withinMs: number, signal: AbortSignal): Promise<Guest>
  /** Null when none is. */
  current(machineId: MachineId): Guest | null
  /** Its VM is off: what is left of its link ends. It may come back. */
  cut(machineId: MachineId): void
  /** Ends its link, and lets nobody in for it any more. */
  forget(machineId: MachineId): Promise<void>
}

/** What the store has of checkpoints, as far as this substrate needs it. */
export interface StoredTrees {
  state(checkpointId: CheckpointId): Promise<StoredState>
  /** A tar of everything that it holds. */
  tar(checkpointId: CheckpointId, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** The same as changes of an earlier one that is kept too, or of nothing. */
  changes(checkpointId: CheckpointId, since: CheckpointId | null, signal: AbortSignal): AsyncIterable<TreeChange>
}
