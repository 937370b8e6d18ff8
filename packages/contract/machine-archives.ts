/** An archive: Proxmox's own copy of a whole machine, on a storage of the cluster that takes such copies. */
import { z } from 'zod'
import { PageQuery, Time } from './common.ts'
import { CheckpointId, MachineArchiveId, MachineId, Name, OperationId, ProjectId } from './ids.ts'

export const MACHINE_ARCHIVE_STATES = ['taking', 'stored', 'removing', 'removed', 'failed'] as const
export const MachineArchiveState = z.enum(MACHINE_ARCHIVE_STATES)
export type MachineArchiveState = z.infer<typeof MachineArchiveState>

/** `none`: the storage reads nothing back. `pending`: a backup server that has not done so yet. */
export const ArchiveVerification = z.enum(['none', 'pending', 'ok', 'failed'])
export type ArchiveVerification = z.infer<typeof ArchiveVerification>

export const MachineArchive = z.object({
  id: MachineArchiveId,
  project_id: ProjectId,
  machine_id: MachineId,
  machine_name: Name,
  /** Its tree lies frozen in the copy, under this name. */
  checkpoint_id: CheckpointId,
  state: MachineArchiveState,
  state_reason: z.string().nullable(),
  fix: z.string().nullable().describe('What to do about the reason'),
  verification: ArchiveVerification.nullable(),
  missing: z.boolean().describe('At the last look the storage no longer showed it'),
  /** Of the cluster. */
  storage: z.string(),
  /** What Proxmox calls it there, for `qmrestore`. */
  volume: z.string().nullable(),
  size_bytes: z.int().nullable(),
  created_at: Time,
  stored_at: Time.nullable(),
  looked_at: Time.nullable().describe('When the storage was last asked about it'),
})
export type MachineArchive = z.infer<typeof MachineArchive>

/** Those that are there or on their way, and those that failed since the last that did not, unless a state is named. */
export const MachineArchiveQuery = PageQuery.extend({ machine: MachineId.optional(), state: MachineArchiveState.optional() })
export type MachineArchiveQuery = z.infer<typeof MachineArchiveQuery>

export const CreatedMachineArchive = z.object({ archive: MachineArchive, operation_id: OperationId })
export type CreatedMachineArchive = z.infer<typeof CreatedMachineArchive>
