/** Checkpoints: restorable points, what changed between two, and the files within. */
import {
  ARCHIVE_HEADERS,
  type ArchiveQuery,
  type Checkpoint,
  type CheckpointQuery,
  type CheckpointState,
  type DiffQuery,
  type ForkCheckpoint,
  type ForkedCheckpoint,
  type OperationRef,
  type VerifyCheckpoint,
} from '@autovibe/contract'
import { type Diff, readDiff } from './diffs.ts'
import { type List, list } from './pages.ts'
import type { CallOptions, Transport } from './transport.ts'
import { type WaitOptions, waitFor } from './waiting.ts'

export type CheckpointWaitState = 'capturing' | 'stored' | 'verified'

export interface Archive {
  readonly tar: AsyncIterable<Uint8Array>
  /** The imported commit beneath the tree; null where it came from elsewhere. */
  readonly sourceCommit: string | null
  /** The commit of the user's own repository beneath that. */
  readonly sourceBaseCommit: string | null
}

const PROGRESS: readonly CheckpointState[] = ['pending', 'capturing', 'stored', 'verified']

export class Checkpoints {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  list(query: Partial<CheckpointQuery> = {}, options?: CallOptions): List<Checkpoint> {
    return list(this.#transport, '/checkpoints', query, options)
  }

  get(id: string, options?: CallOptions): Promise<Checkpoint> {
    return this.#transport.json('GET', at(id), options)
  }

  /** A new machine from this checkpoint, with its files and its agent's conversation. */
  fork(id: string, fork: ForkCheckpoint = {}, options?: CallOptions): Promise<ForkedCheckpoint> {
    return this.#transport.json('POST', `${at(id)}/fork`, { ...options, body: fork })
  }

  /** Keeps it, whatever the rules of retention say. */
  pin(id: string, options?: CallOptions): Promise<Checkpoint> {
    return this.#transport.json('POST', `${at(id)}/pin`, { ...options, body: {} })
  }

  /** Leaves it to the rules again. */
  unpin(id: string, options?: CallOptions): Promise<Checkpoint> {
    return this.#transport.json('POST', `${at(id)}/unpin`, { ...options, body: {} })
  }

  /** Reads all of it back now; with `restore`, brings it to a folder of the Hub's own and compares. When the operation is done, the checkpoint's state says what was found. */
  verify(id: string, verify: VerifyCheckpoint = {}, options?: CallOptions): Promise<OperationRef> {
    return this.#transport.json('POST', `${at(id)}/verify`, { ...options, body: verify })
  }

  /** What changed since `against`; without it, since the source was imported. */
  async diff(id: string, query: Partial<DiffQuery> = {}, options?: CallOptions): Promise<Diff> {
    const response = await this.#transport.send('GET', `${at(id)}/diff`, { ...options, query, headers: { accept: 'application/x-ndjson' } })
    return readDiff(response.body, options?.signal)
  }

  /** The same as one patch for `git apply`, in its bytes; the stream fails when the Hub breaks off, and what it sent until then is refused by git. */
  async patch(id: string, query: Partial<DiffQuery> = {}, options?: CallOptions): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#transport.send('GET', `${at(id)}/diff`, { ...options, query, headers: { accept: 'text/x-diff' } })
    return response.body ?? new Blob([]).stream()
  }

  /** The bytes of one file; `path` as in the manifest (`project/…`). Nothing is checked here: the reader compares size and hash. */
  async content(id: string, path: string, options?: CallOptions): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#transport.send('GET', `${at(id)}/content`, { ...options, query: { path }, headers: { accept: 'application/octet-stream' } })
    return response.body ?? new Blob([]).stream()
  }

  /**
   * The tree as a tar (POSIX pax): the files of the project, or everything. The stream fails when the Hub finds damage or goes away, and then what came before is no
   * whole archive.
   */
  async archive(id: string, query: Partial<ArchiveQuery> = {}, options?: CallOptions): Promise<Archive> {
    const response = await this.#transport.send('GET', `${at(id)}/archive`, { ...options, query, headers: { accept: 'application/x-tar' } })
    return {
      tar: response.body ?? new Blob([]).stream(),
      sourceCommit: response.headers.get(ARCHIVE_HEADERS.sourceCommit),
      sourceBaseCommit: response.headers.get(ARCHIVE_HEADERS.sourceBaseCommit),
    }
  }

  /** The checkpoint once it is so far, or has become corrupt, failed or expired: look at its state. */
  wait(id: string, state: CheckpointWaitState, options?: WaitOptions): Promise<Checkpoint> {
    const reached = (checkpoint: Checkpoint) => {
      const progress = PROGRESS.indexOf(checkpoint.state)
      return progress < 0 || progress >= PROGRESS.indexOf(state)
    }
    return waitFor<Checkpoint>(this.#transport, `${at(id)}/wait`, state, reached, options)
  }
}

const at = (id: string): string => `/checkpoints/${encodeURIComponent(id)}`
