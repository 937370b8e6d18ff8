/** The rows of schema.ts that only the Proxmox substrate reads and writes. */
import type { CheckpointId, MachineId, MachineLimits } from '@autovibe/contract'
import type { CpuSeen } from '@autovibe/core/proxmox/vm-cpu.ts'
import type { Carried } from '@autovibe/core/proxmox/vm-network.ts'
import type { Generated, JSONColumnType } from 'kysely'

/** Figures as the port's `Usage`, kept as they were last seen. */
export interface KeptUsage {
  readonly life: string
  readonly cpuSeconds: number
  readonly peakMemoryBytes: number
  readonly diskBytes: number | null
  readonly quality: 'measured' | 'estimated'
  readonly refused: { readonly memory: number | null; readonly processes: number | null }
}

/** What the cluster counted of a VM in one life of its machine, which begins when the Hub has its agent started. */
export interface KeptMeter {
  readonly life: string
  /** What the guest calls this life; null until it has told. What it called the one before does not count. */
  readonly toldLife: string | null
  readonly formerLife: string
  /** Seconds since 1970. */
  readonly beganS: number
  readonly endedS: number | null
  readonly cpu: CpuSeen
  /** Null until it was looked at first. */
  readonly network: Carried | null
  /** The most that counted so far, by whose word it was. */
  readonly countedCpuS: number
}

export interface ProxmoxVmsTable {
  machine_id: MachineId
  vmid: number
  node: string
  name: string
  machine_group: string | null
  source_vmid: number
  source_node: string
  source_snapshot: CheckpointId | null
  cloned_at: Date | null
  upid: string | null
  state: Generated<'making' | 'made' | 'remains'>
  tree: CheckpointId | 'empty' | null
  agent: Generated<boolean>
  reboot: Generated<boolean>
  limits: JSONColumnType<MachineLimits, string, string>
  last_usage: JSONColumnType<KeptUsage, string, string> | null
  meter: JSONColumnType<KeptMeter, string, string> | null
  created_at: Generated<Date>
}

export interface ProxmoxNumbersTable {
  only_row: Generated<boolean>
  last_vmid: number
}

export interface ProxmoxSnapshotsTable {
  checkpoint_id: CheckpointId
  machine_id: MachineId
  consistency: 'consistent' | 'fuzzy'
  in_vm: boolean
  state: Generated<'taking' | 'taken' | 'dropped'>
  created_at: Generated<Date>
}

export interface GateTable {
  only_row: Generated<boolean>
  /** In PEM. */
  certificate: string
  key_sealed: Buffer
  made_at: Date
}

export interface GateAdmissionsTable {
  machine_id: MachineId
  address: string
  fingerprint: string
  secret_sha256: string
  claim_sha256: string | null
  keys: string[]
}
