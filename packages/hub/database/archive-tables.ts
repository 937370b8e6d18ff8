/** The rows of schema.ts of archives: what the Hub tells of each, and what the Proxmox substrate records before it asks for one. */
import type { ArchiveVerification, CheckpointId, MachineArchiveId, MachineArchiveState, MachineId, ProjectId } from '@autovibe/contract'
import type { Generated } from 'kysely'

export interface MachineArchivesTable {
  id: MachineArchiveId
  project_id: ProjectId
  machine_id: MachineId
  checkpoint_id: CheckpointId
  state: Generated<MachineArchiveState>
  state_reason: string | null
  fix: Generated<string | null>
  verification: ArchiveVerification | null
  missing: Generated<boolean>
  storage: string
  volume: string | null
  size_bytes: bigint | null
  created_at: Date
  stored_at: Date | null
  looked_at: Date | null
}

export interface ProxmoxArchivesTable {
  archive_id: MachineArchiveId
  machine_id: MachineId
  checkpoint_id: CheckpointId
  vmid: number
  storage: string
  node: string
  state: Generated<'taking' | 'stored' | 'gone'>
  asked_at: Date | null
  upid: string | null
  ended_upids: Generated<string[]>
  locked_tasks: Generated<number>
  volid: string | null
  created_at: Generated<Date>
}

export interface ArchiveTables {
  machine_archives: MachineArchivesTable
  proxmox_archives: ProxmoxArchivesTable
}
