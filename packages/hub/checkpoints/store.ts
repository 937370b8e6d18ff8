/** The port to the checkpoint store: trees under manifests, contents by SHA-256, all of a project under its own key. Nothing in it depends on a substrate. */
import type { Readable } from 'node:stream'
import type { CheckpointId, ManifestEntry, ProjectId } from '@autovibe/contract'
import type { TreeChange } from '../substrates/substrate.ts'

/** A checkpoint as the store knows it: by this name it is kept, by this hash it is read. */
export interface KeptTree {
  readonly checkpointId: CheckpointId
  readonly manifestSha256: string
}

export interface CaptureTree {
  /** The name under which the tree is kept from then on. */
  readonly checkpointId: CheckpointId
  /** What the changes are relative to, which must be kept until the capture has ended; null: an empty tree. */
  readonly parent: KeptTree | null
  readonly changes: AsyncIterable<TreeChange>
}

export interface Captured {
  readonly manifestSha256: string
  readonly files: number
  readonly bytes: number
  /** By how many bytes the store grew. */
  readonly newBytes: number
}

export interface Verification {
  readonly ok: boolean
  /** Paths whose content is missing or does not hash to what the manifest says; at most 100. */
  readonly damaged: readonly string[]
}

export interface Collected {
  readonly segments: number
  readonly condemned: number
  readonly deleted: number
  /** Bytes of objects that were written anew elsewhere. */
  readonly movedBytes: number
}

export interface Scrubbed {
  readonly segments: number
  readonly bytes: number
  /** What is wrong with a segment, as a sentence each. */
  readonly problems: readonly string[]
  /** Which segments the disk did not give, as a sentence each: whether they are sound nobody knows. */
  readonly unread: readonly string[]
}

export interface StoreSize {
  /** What all of the project's segments take, with what nothing needs any more and no collector has removed yet. */
  readonly storedBytes: number
  /** The contents in them as they are when unpacked, each counted once. */
  readonly uniqueBytes: number
}

export interface EntryPair {
  /** Null: the path is new. */
  readonly before: ManifestEntry | null
  /** Null: the path is gone. */
  readonly after: ManifestEntry | null
}

export interface CheckpointStore {
  /** The checkpoints of one project; nothing is opened before it is needed. `request.invalid` for what is no id. */
  of(projectId: ProjectId): ProjectStore
  /** Seals the projects' keys under the current master key where they are not. Those that do not open are left as they are. */
  rewrapKeys(): Promise<{ readonly rewrapped: number; readonly unreadable: number }>
}

export interface ProjectStore {
  /** Stores every content that the changes bring, then the manifest, all durable, then its name. A repeat answers the same manifest. */
  capture(tree: CaptureTree, signal: AbortSignal): Promise<Captured>
  /** Reads everything back and hashes it, and writes nothing; `sinceManifestSha256` limits it to what that verified manifest does not already hold. */
  verify(manifestSha256: string, sinceManifestSha256: string | null, signal: AbortSignal): Promise<Verification>
  /** All entries in the order of their paths' bytes, or those beneath one folder; with `after`, those behind all that lies beneath the last of these folders, of which the others have begun before it. Fails with `checkpoint.corrupt` where a part is missing or damaged. */
  entries(manifestSha256: string, under?: string, after?: readonly string[]): AsyncIterable<ManifestEntry>
  /** The entry at this path. */
  entry(manifestSha256: string, path: string): Promise<ManifestEntry | null>
  /** Every path at which two trees differ, in order; what is equal in both is not read. */
  difference(before: string, after: string): AsyncIterable<EntryPair>
  /** The bytes of one content, hash-checked while read; the stream fails with `checkpoint.corrupt`. */
  open(sha256: string): Promise<Readable>
  /** Writes the tree into an empty folder of this host, each content checked, with modes and times. Far faster than file by file. */
  restore(manifestSha256: string, folder: string, signal: AbortSignal): Promise<void>
  /** Deletes what no kept checkpoint needs, over several calls: others may be writing meanwhile. `checkpoint.corrupt`, with nothing deleted, when what a kept one needs cannot be told. */
  collect(signal: AbortSignal): Promise<Collected>
  /** Reads every segment to its last byte, no faster than so. Writes nothing. */
  scrub(bytesPerSecond: number, signal: AbortSignal): Promise<Scrubbed>
  /** The checkpoint's name is gone; what nothing else needs may be collected. One that is not there is no error. */
  forget(checkpointId: CheckpointId): Promise<void>
  /** Asks the place only which segments there are. */
  size(): Promise<StoreSize>
}
