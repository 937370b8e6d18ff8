/** The port to the checkpoint store: content by its SHA-256, manifests over it. Nothing in it depends on a substrate. */
import type { Readable } from 'node:stream'
import type { ManifestEntry } from '@autovibe/contract'
import type { TreeChange } from '../substrates/substrate.ts'

export interface Captured {
  readonly manifestSha256: string
  readonly files: number
  readonly bytes: number
  /** Bytes that were not in the store before, as stored. */
  readonly newBytes: number
}

export interface Verification {
  readonly ok: boolean
  /** Paths whose content is missing or does not hash to what the manifest says; at most 100. */
  readonly damaged: readonly string[]
}

export interface CheckpointStore {
  /** Reads the changes against the parent's manifest (null: an empty tree), stores every content, then the manifest, all synced to disk. A repeat answers the same. */
  capture(parentManifestSha256: string | null, changes: AsyncIterable<TreeChange>, signal: AbortSignal): Promise<Captured>
  /** Reads everything back and hashes it; `sinceManifestSha256` limits it to what that verified manifest does not already hold. */
  verify(manifestSha256: string, sinceManifestSha256: string | null, signal: AbortSignal): Promise<Verification>
  /** All entries, sorted by path. `checkpoint.corrupt` when it is missing or does not hash to its name. */
  readManifest(manifestSha256: string): Promise<readonly ManifestEntry[]>
  /** The bytes of one content, hash-checked while read; the stream fails with `checkpoint.corrupt`. */
  open(sha256: string): Promise<Readable>
}
