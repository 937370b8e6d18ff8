/** What is behind the VMs of the stand-in: the port that a folder, our own agent in a sandbox, or a real QEMU fills. */

/** A disk keeps its key while Proxmox renames, converts and migrates the volume. */
export interface Disk {
  readonly key: string
  readonly sizeBytes: number
  readonly format: 'raw' | 'qcow2'
}

export type DiskSource = { readonly kind: 'empty' } | { readonly kind: 'file'; readonly path: string }

export interface Nic {
  readonly index: number
  readonly mac: string
  readonly bridge: string | null
  /** The firewall stands before this card: it is on for the VM and for the card. */
  readonly fenced: boolean
  readonly linkDown: boolean
}

export interface FirewallRule {
  readonly direction: 'in' | 'out'
  readonly action: string
  readonly enabled: boolean
  readonly protocol?: string
  readonly source?: string
  readonly destination?: string
  readonly sourcePort?: string
  readonly destinationPort?: string
  /** The name of a set of protocols and ports. */
  readonly macro?: string
  /** The card that it stands before, as `net0`; all of them without it. */
  readonly iface?: string
}
export interface Network {
  readonly nics: readonly Nic[]
  readonly policyIn: string
  readonly policyOut: string
  /** First match counts, as on the wire. */
  readonly rules: readonly FirewallRule[]
}

/** The three files of Proxmox's cloud-init drive. */
export interface CloudInit {
  readonly user: string
  readonly meta: string
  readonly network: string
}

/** A start of a VM, cold or with the RAM of a snapshot. */
export interface Boot {
  readonly vmid: number
  readonly node: string
  readonly name: string
  readonly cores: number
  readonly memoryMib: number
  /** In order of the drives: scsi0 before scsi1. */
  readonly disks: readonly Disk[]
  readonly network: Network
  /** Null without a cloud-init drive. */
  readonly cloudInit: CloudInit | null
  /** The whole configuration, for whoever needs more of it. */
  readonly config: Readonly<Record<string, string>>
  /** Key of saved RAM to go on from; the disks have been rolled back to the same moment. */
  readonly memory: string | null
}

export interface SnapshotRequest {
  readonly vmid: number
  readonly running: boolean
  readonly name: string
  readonly disks: readonly Disk[]
  /** Where to keep the RAM, under this key; null for disks alone. */
  readonly memory: string | null
}

export interface Usage {
  readonly cpuSeconds: number
  readonly memoryBytes: number
  readonly netInBytes: number
  readonly netOutBytes: number
  readonly diskReadBytes: number
  readonly diskWriteBytes: number
}
export const NOTHING: Usage = { cpuSeconds: 0, memoryBytes: 0, netInBytes: 0, netOutBytes: 0, diskReadBytes: 0, diskWriteBytes: 0 }

/** The QEMU guest agent of a running VM, at the level of its own protocol: `guest-exec` and its like. */
export interface GuestAgent {
  /** Answers what QEMU's agent answers in `return`; an error carries its `desc`. */
  execute(command: string, parameters: Readonly<Record<string, unknown>>): Promise<unknown>
}
export class GuestAgentError extends Error {}

export interface Guests {
  createDisk(disk: Disk, source: DiskSource): Promise<void>
  /** Linked clones may share with their origin, which Proxmox keeps as long as they live. */
  cloneDisk(from: Disk, snapshot: string | null, to: Disk, how: 'linked' | 'full'): Promise<void>
  resizeDisk(disk: Disk, sizeBytes: number): Promise<void>
  /** Also of a disk that never came to be: a worker may have vanished before it was made. */
  deleteDisk(disk: Disk): Promise<void>
  /** All disks, and the RAM with them, at one moment. */
  snapshot(request: SnapshotRequest): Promise<void>
  /** The VM stands still; disks alone go back, RAM comes with the next start. */
  rollback(vmid: number, name: string, disks: readonly Disk[]): Promise<void>
  deleteSnapshot(request: SnapshotRequest): Promise<void>
  start(boot: Boot): Promise<void>
  /** Pulls the plug. */
  stop(vmid: number): Promise<void>
  /** Presses the button; resolves at once, the guest ends when it likes (see `onEnded`). */
  shutdown(vmid: number): Promise<void>
  reset(vmid: number): Promise<void>
  pause(vmid: number): Promise<void>
  resume(vmid: number): Promise<void>
  /** The firewall or a card of a running VM was changed. */
  networkChanged(vmid: number, network: Network): Promise<void>
  /** Null when the guest's agent does not answer. */
  agent(vmid: number): GuestAgent | null
  usage(vmid: number): Usage
  /** Whom to tell when a guest ends by itself. */
  onEnded(listener: (vmid: number) => void): void
  close(): Promise<void>
}
