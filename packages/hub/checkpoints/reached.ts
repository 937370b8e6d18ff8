/** Everything that the kept checkpoints of a project need. */

import type { CheckpointId } from '@autovibe/contract'
import type { Backend } from './backends/backend.ts'
import type { LeftIntents, Writer } from './intents.ts'
import { nodesOf } from './manifest-tree/nodes-of.ts'
import { chunksOf } from './read-content.ts'
import { listRefs, readRef } from './refs.ts'
import { WHOLE_BYTES } from './segments/content-writer.ts'
import type { Kind } from './segments/format.ts'
import { ObjectIndex } from './segments/object-index.ts'
import type { ObjectStore } from './segments/object-store.ts'
import { corrupt } from './store-errors.ts'

export interface StorePlace {
  readonly backend: Backend
  readonly folder: string
  readonly key: Buffer
  readonly objects: ObjectStore
  /** As whom it is written to. */
  readonly writer: Writer | null
  readonly left: LeftIntents
}

/** Objects by kind and SHA-256; compact, for there may be millions. */
export class ObjectSet {
  readonly #index = new ObjectIndex()

  has = (kind: Kind, sha256: string): boolean => this.#index.get(kind, sha256) !== null

  add(kind: Kind, sha256: string): void {
    this.#index.add(0, { kind, sha256, record: 0, start: 0, bytes: 0 })
  }
}

/** Follows every name. `checkpoint.corrupt` when a part cannot be read: what lies beneath it cannot be told, and so must stay. */
export async function reachedObjects({ backend, folder, key, objects }: StorePlace, signal: AbortSignal): Promise<ObjectSet> {
  const reached = new ObjectSet()
  const followed = new Set<CheckpointId>()
  // A name that comes while others are followed may keep what one of them did that goes meanwhile: until a list brings nothing new.
  for (let names = await newNames(); names.length > 0; names = await newNames())
    for (const checkpointId of names) {
      followed.add(checkpointId)
      const root = await readRef(backend, folder, key, checkpointId)
      // Null: it was forgotten meanwhile.
      if (root !== null) await follow(objects, root, reached, signal)
    }
  return reached

  async function newNames(): Promise<CheckpointId[]> {
    const names: CheckpointId[] = []
    for await (const name of listRefs(backend, folder)) if (!followed.has(name)) names.push(name)
    return names
  }
}

async function follow(objects: ObjectStore, root: string, reached: ObjectSet, signal: AbortSignal): Promise<void> {
  const read = (node: string): Promise<Uint8Array> => objects.read('node', node)
  for await (const { sha256, contents } of nodesOf(root, read, (node) => reached.has('node', node))) {
    signal.throwIfAborted()
    reached.add('node', sha256)
    for (const content of contents) {
      if (content.size <= WHOLE_BYTES) reached.add('content', content.sha256)
      else if (!reached.has('list', content.sha256)) {
        const chunks = await chunksOf(objects, content.sha256)
        if (chunks === null) throw corrupt(`The list of chunks of ${content.sha256}, which a kept checkpoint needs, is missing.`)
        reached.add('list', content.sha256)
        for (const chunk of chunks) reached.add('content', chunk.sha256)
      }
    }
  }
}
