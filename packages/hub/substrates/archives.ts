/** The port of substrates that can copy a whole machine to a storage which outlives it. Calls are at-least-once, as those of `Substrate`. */
import type { ArchiveVerification, AutovibeError, CheckpointId, MachineArchiveId, MachineId } from '@autovibe/contract'

export interface NewArchive {
  readonly archiveId: MachineArchiveId
  readonly machineId: MachineId
  /** Frozen on the machine's disk, so that the copy has its tree whole, under this name. */
  readonly checkpointId: CheckpointId
}

export interface TakenArchive {
  /** The storage's own name for it; at most 1000 characters. */
  readonly volume: string
  readonly sizeBytes: number
  readonly verification: ArchiveVerification
}

/** It is not there yet, and nothing is lost by asking again. */
export type ComingArchive =
  /** Being copied, or waiting for its turn, which is what `waitsFor` says. */
  | { readonly waitsFor: string | null }
  /** Nothing is under way: somebody else has a lock that the copy needs. */
  | { readonly lockedBy: AutovibeError }

/** `missing`: it should be there to be seen, and is not, or it was removed. */
export type SeenArchive = TakenArchive | 'missing'

/** A storage of which the last look could see nothing. */
export interface UnlistedStorage {
  /** By the name that people know it under, with its node where only that sees it. */
  readonly storage: string
  /** When its archives were seen last; null: never. */
  readonly listedAt: Date | null
  readonly reason: string
}

export interface MachineArchives {
  /** Where they go, by the name that people know it under; null: nobody has said where, and none is taken. */
  readonly storage: string | null
  /** Of one machine; older ones go. */
  readonly keep: number
  /** May take hours: ask again until it is taken. The machine goes on meanwhile. */
  take(archive: NewArchive, signal: AbortSignal): Promise<TakenArchive | ComingArchive>
  /** It is not there any more, or never was; one that is being taken is broken off, and none is taken under this id from now on. */
  remove(archive: NewArchive, signal: AbortSignal): Promise<void>
  /** All that should be there and can be looked at, in as many calls as there are storages. */
  look(signal: AbortSignal): Promise<ReadonlyMap<MachineArchiveId, SeenArchive>>
  /** What the last look could not see; nothing before the first. */
  readonly unlisted: readonly UnlistedStorage[]
}
