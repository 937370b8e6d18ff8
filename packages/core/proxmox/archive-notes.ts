/** How a copy of a whole VM says whose it is: by its notes, which Proxmox keeps beside it and shows to people. */
import { type CheckpointId, isId, type MachineArchiveId, type MachineId } from '@autovibe/contract'

export interface ArchiveNotes {
  readonly archiveId: MachineArchiveId
  readonly machineId: MachineId
  readonly checkpointId: CheckpointId
  readonly hubId: string
}

const SHAPE = /^autovibe archive (\S+) of machine (\S+), checkpoint (\S+), Hub ([0-9a-f]{32})$/

/** One line without a backslash or a brace, which Proxmox would read as its own. */
export const archiveNotes = ({ archiveId, machineId, checkpointId, hubId }: ArchiveNotes): string =>
  `autovibe archive ${archiveId} of machine ${machineId}, checkpoint ${checkpointId}, Hub ${hubId}`

/** Null for notes of anybody else, also those that a person has changed. */
export function readArchiveNotes(notes: string | undefined): ArchiveNotes | null {
  const [, archiveId = '', machineId = '', checkpointId = '', hubId = ''] = SHAPE.exec(notes ?? '') ?? []
  if (!isId('machineArchive', archiveId) || !isId('machine', machineId) || !isId('checkpoint', checkpointId)) return null
  return { archiveId, machineId, checkpointId, hubId }
}
