/** The store as whoever has no snapshot of a checkpoint needs it: whether the tree is there, the whole of it as a tar, and what changed since another. */
import { Readable } from 'node:stream'
import type { CheckpointId, CheckpointState, ManifestEntry, ProjectId } from '@autovibe/contract'
import type { StoredState } from '@autovibe/core/proxmox/held-trees.ts'
import type { Database } from '../database/database.ts'
import type { TreeChange } from '../substrates/substrate.ts'
import { chooseEntries } from './archive/choose-entries.ts'
import { archiveOf } from './archive/write-archive.ts'
import type { CheckpointStore, ProjectStore } from './store.ts'
import { corrupt } from './store-errors.ts'

export interface KeptCheckpoint {
  readonly projectId: ProjectId
  readonly state: CheckpointState
  readonly manifestSha256: string | null
}

/** Only what was read back counts as kept. What is damaged or failed was not let go of: whoever has a snapshot of it may have the last copy. */
const STATES: Readonly<Record<CheckpointState, StoredState>> = {
  pending: 'coming',
  capturing: 'coming',
  stored: 'coming',
  verified: 'kept',
  corrupt: 'lost',
  failed: 'lost',
  expired: 'gone',
}

export class StoredTrees {
  readonly #store: CheckpointStore
  readonly #find: (checkpointId: CheckpointId) => Promise<KeptCheckpoint | undefined>

  constructor(store: CheckpointStore, find: (checkpointId: CheckpointId) => Promise<KeptCheckpoint | undefined>) {
    this.#store = store
    this.#find = find
  }

  async state(checkpointId: CheckpointId): Promise<StoredState> {
    const found = await this.#find(checkpointId)
    return found === undefined ? 'gone' : STATES[found.state]
  }

  async *tar(checkpointId: CheckpointId, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
    const { store, manifest } = await this.#kept(checkpointId)
    yield* archiveOf(store, checkpointId, chooseEntries(store, manifest, { contents: 'all', inner_git: true }, null), signal)
  }

  /** Parents before children; what became something else is removed first. */
  async *changes(checkpointId: CheckpointId, since: CheckpointId | null, signal: AbortSignal): AsyncGenerator<TreeChange, void> {
    const { store, manifest } = await this.#kept(checkpointId)
    if (since === null) {
      for await (const entry of store.entries(manifest)) {
        signal.throwIfAborted()
        yield* put(store, entry)
      }
      return
    }
    const base = await this.#kept(since)
    let removed: string | null = null
    for await (const { before, after } of store.difference(base.manifest, manifest)) {
      signal.throwIfAborted()
      const path = (before ?? after)?.path ?? ''
      const isWithin = removed !== null && path.startsWith(`${removed}/`)
      if (before !== null && !isWithin && (after === null || after.type !== before.type)) {
        yield { kind: 'remove', path }
        removed = path
      }
      if (after !== null) yield* put(store, after)
    }
  }

  async #kept(checkpointId: CheckpointId): Promise<{ store: ProjectStore; manifest: string }> {
    const found = await this.#find(checkpointId)
    if (found === undefined || STATES[found.state] !== 'kept' || found.manifestSha256 === null)
      throw corrupt(`The tree of checkpoint ${checkpointId} is not in the store.`)
    return { store: this.#store.of(found.projectId), manifest: found.manifestSha256 }
  }
}

/** By the rows of the database. */
export const findIn =
  (db: Database) =>
  async (checkpointId: CheckpointId): Promise<KeptCheckpoint | undefined> => {
    const row = await db.selectFrom('checkpoints').select(['project_id', 'state', 'manifest_sha256']).where('id', '=', checkpointId).executeTakeFirst()
    return row && { projectId: row.project_id, state: row.state, manifestSha256: row.manifest_sha256 }
  }

async function* put(store: ProjectStore, { sha256, ...entry }: ManifestEntry): AsyncGenerator<TreeChange, void> {
  // A content is opened when it is asked for, which the port wants at once: whoever reads waits for both.
  const open = (): Readable => Readable.from(sha256 === null ? [] : contentOf(store, sha256), { objectMode: false })
  yield { kind: 'put', entry, open }
}

async function* contentOf(store: ProjectStore, sha256: string): AsyncGenerator<Uint8Array, void> {
  yield* (await store.open(sha256)) as AsyncIterable<Uint8Array>
}
