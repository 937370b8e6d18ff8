/** Which copy on a storage is which archive of ours, and what the storage says of it. */
import type { ArchiveVerification, MachineArchiveId } from '@autovibe/contract'
import { readArchiveNotes } from './archive-notes.ts'

/** As a storage lists a backup of a VM. */
export interface ListedCopy {
  readonly volid: string
  /** Seconds since 1970, by the node's clock, when it was begun. */
  readonly ctime?: number | undefined
  readonly size: number
  readonly notes?: string | undefined
  readonly protected?: boolean | undefined
  readonly verification?: { readonly state: string } | undefined
}

export interface KnownArchive {
  readonly archiveId: MachineArchiveId
  readonly hubId: string
  /** Its name on the storage, once it is known. */
  readonly volid: string | null
}

/** The archive's copy by its notes, which must name this Hub; a copy whose notes name anything else is never ours, whatever its name. */
export function copyByNotes<C extends ListedCopy>(copies: readonly C[], { archiveId, hubId, volid }: KnownArchive): C | null {
  const ours = copies.filter(({ notes }) => {
    const read = readArchiveNotes(notes)
    return read?.archiveId === archiveId && read.hubId === hubId
  })
  return ours.find((copy) => volid === null || copy.volid === volid) ?? null
}

/** The name under which a task of vzdump says in its log that it writes: a path, or what follows `backup/` in the volume's name. Null before it has begun to. */
export function targetOfLog(lines: readonly string[]): string | null {
  for (const line of lines) {
    const target = /^INFO: creating .{0,100}\barchive '([^']{1,1000})'/.exec(line)?.[1]
    if (target !== undefined) return target
  }
  return null
}

/**
 * The copy that a task of ours has made and could not write its notes to: the one that its log names. Its time says nothing: a task waits for the others of its node, and
 * whatever is copied meanwhile is somebody else's.
 */
export function copyOfTask<C extends ListedCopy>(copies: readonly C[], target: string | null): C | null {
  if (target === null) return null
  const isTarget = ({ volid }: C): boolean => {
    const name = volid.split(':backup/')[1]
    return name !== undefined && (target === name || target.endsWith(`/${name}`))
  }
  return copies.find((copy) => isTarget(copy) && (copy.notes ?? '') === '') ?? null
}

/** Only a backup server reads its copies back; what it says beside ok and failed is not known yet. */
export function verificationOf(storageType: string, { verification }: ListedCopy): ArchiveVerification {
  if (storageType !== 'pbs') return 'none'
  if (verification === undefined) return 'pending'
  return verification.state === 'ok' ? 'ok' : verification.state === 'failed' ? 'failed' : 'pending'
}
