/** What the Hub makes of a machine's tree: its snapshots read into a real store, and the change between two of them brought into a checkout as `autovibe apply` does. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { CheckpointDiff, CheckpointId, ManifestEntry } from '@autovibe/contract'
import { openFolderStore } from '../../packages/hub/checkpoints/create-checkpoint-store.ts'
import { diffCheckpoints } from '../../packages/hub/checkpoints/diff/diff-checkpoints.ts'
import type { ProjectStore } from '../../packages/hub/checkpoints/store.ts'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import { createSecrets } from '../../packages/hub/security/secrets.ts'
import { type Stage, signal } from './stage.ts'

export interface Kept {
  readonly checkpointId: CheckpointId
  readonly manifestSha256: string
  readonly entries: readonly ManifestEntry[]
}

export class Captures {
  readonly #stage: Stage
  readonly #store: ProjectStore

  static async open(stage: Stage): Promise<Captures> {
    const dataDir = join(stage.outside, 'store')
    await mkdir(dataDir)
    return new Captures(stage, (await openFolderStore(dataDir, createSecrets(systemRuntime.randomBytes(32)))).of(systemRuntime.newId('project')))
  }

  private constructor(stage: Stage, store: ProjectStore) {
    this.#stage = stage
    this.#store = store
  }

  /** The machine's tree as the store has it; the snapshot is dropped again, whatever comes. */
  async take(name: string): Promise<Kept> {
    const checkpointId = systemRuntime.newId('checkpoint')
    const { handle } = await this.#stage.substrate.snapshot(this.#stage.id(name), checkpointId, signal)
    try {
      const { manifestSha256 } = await this.#store.capture({ checkpointId, parent: null, changes: this.#stage.substrate.changes(handle, null, signal) }, signal)
      return { checkpointId, manifestSha256, entries: await Array.fromAsync(this.#store.entries(manifestSha256)) }
    } finally {
      await this.#stage.substrate.dropSnapshot(handle, signal)
    }
  }

  async text(entry: ManifestEntry | undefined): Promise<string> {
    const chunks: Uint8Array[] = []
    if (entry?.sha256) for await (const chunk of (await this.#store.open(entry.sha256)) as AsyncIterable<Uint8Array>) chunks.push(chunk)
    return Buffer.concat(chunks).toString('utf8')
  }

  /** As the Hub answers it to `autovibe apply`. */
  async diff(before: Kept, after: Kept, baseCommit: string): Promise<CheckpointDiff> {
    const trees = { store: this.#store, beforeManifestSha256: before.manifestSha256, afterManifestSha256: after.manifestSha256, signal }
    const files = await Array.fromAsync(diffCheckpoints(trees, { detail: 'names', renames: false }))
    return { checkpoint_id: after.checkpointId, against_id: before.checkpointId, source_commit: baseCommit, source_base_commit: baseCommit, files }
  }

  /** The contents behind such an answer. */
  reader(...kept: readonly Kept[]): (checkpointId: string, path: string) => Promise<AsyncIterable<Uint8Array>> {
    return async (checkpointId, path) => {
      const entry = kept.find((one) => one.checkpointId === checkpointId)?.entries.find((one) => one.path === path)
      if (!entry?.sha256) throw new Error(`nobody should ask for ${path}`)
      return this.#store.open(entry.sha256)
    }
  }
}
