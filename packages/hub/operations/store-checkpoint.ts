/** Brings a frozen checkpoint into the store and proves that it can be read back: captured, stored, verified. */
import { AutovibeError, CheckpointId, isId } from '@autovibe/contract'
import { z } from 'zod'
import type { KeptTree, ProjectStore } from '../checkpoints/store.ts'
import { isUnread } from '../checkpoints/store-errors.ts'
import type { Tx } from '../database/database.ts'
import type { EnsureStep, StepContext, UntilStep } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import {
  CAPTURE_TIMEOUT_MS,
  type Captured,
  isCorrupt,
  type ReadBack,
  readBack,
  recordCaptured,
  recordReadBack,
  storeFailed,
  storeOf,
} from './steps/checkpoint-stored.ts'

const StoreCheckpoint = z.object({ checkpointId: CheckpointId })
type StoreCheckpoint = z.output<typeof StoreCheckpoint>
type Context<O = unknown> = StepContext<Ports, StoreCheckpoint, O>

/** What the capture builds on: the nearest ancestor that is in the store. */
type Base = { checkpointId: string | null; handle: string | null; manifest: string | null; verified: boolean }
/** `isWhole`: without the parent, which then vouches for nothing. */
type CapturedOn = Captured & { isWhole: boolean }

const PARENT_DEADLINE_MS = 60 * 60_000

export const storeCheckpoint = operation('store-checkpoint', StoreCheckpoint, { exclusive: false, cancellable: false, long: true })
  .until('parent', parentStored())
  .ensure('capture', treeCaptured())
  .tx('record', { do: recordMetadata, undo: storeFailed })
  .ensure('verify', contentVerified())
  .tx('finish', { do: finish })

function parentStored(): UntilStep<Ports, StoreCheckpoint, unknown, Base> {
  return {
    deadlineMs: PARENT_DEADLINE_MS,
    ready: async ({ input }, tx) => {
      let { parent_id } = await tx.selectFrom('checkpoints').select('parent_id').where('id', '=', input.checkpointId).executeTakeFirstOrThrow()
      while (parent_id !== null) {
        const parent = await tx
          .selectFrom('checkpoints')
          .select(['parent_id', 'state', 'snapshot', 'manifest_sha256'])
          .where('id', '=', parent_id)
          .executeTakeFirstOrThrow()
        if (parent.state === 'pending' || parent.state === 'capturing') return null
        const stored = parent.state === 'stored' || parent.state === 'verified'
        if (stored && parent.snapshot && parent.manifest_sha256)
          return { checkpointId: parent_id, handle: parent.snapshot, manifest: parent.manifest_sha256, verified: parent.state === 'verified' }
        parent_id = parent.parent_id
      }
      return { checkpointId: null, handle: null, manifest: null, verified: false }
    },
    undo: storeFailed,
  }
}

function treeCaptured(): EnsureStep<Ports, StoreCheckpoint, { parent: Base }, CapturedOn> {
  return {
    timeoutMs: CAPTURE_TIMEOUT_MS,
    do: async ({ input, outputs, ports, signal }) => {
      const { snapshot, store } = await placeOf(ports, input.checkpointId)
      if (!snapshot) throw new AutovibeError('substrate.snapshot_gone', `Checkpoint ${input.checkpointId} has no snapshot to read.`)
      const captureOn = async (parent: KeptTree | null, handle: string | null): Promise<CapturedOn> => ({
        ...(await store.capture({ checkpointId: input.checkpointId, parent, changes: ports.substrate.changes(snapshot, handle, signal) }, signal)),
        isWhole: parent === null,
      })
      const parent = keptTree(outputs.parent)
      try {
        return { done: await captureOn(parent, parent === null ? null : outputs.parent.handle) }
      } catch (error) {
        if (parent === null || !(isCorrupt(error) || isUnread(error) || isBaseGone(error))) throw error
        // What it builds on is damaged or gone from the store, or its disk does not give it: then all of it is stored, from the snapshot.
        return { done: await captureOn(null, null) }
      }
    },
    undo: async ({ input, ports }) => (await placeOf(ports, input.checkpointId)).store.forget(input.checkpointId),
  }
}

/** The substrate no longer tells what lies between the two; it may still tell all of the later one. */
const isBaseGone = (error: unknown): boolean =>
  error instanceof AutovibeError && (error.code === 'substrate.snapshot_gone' || (error.code === 'substrate.failed' && !error.retryable))

async function recordMetadata(context: Context<{ capture: Captured }>, tx: Tx): Promise<null> {
  return recordCaptured(context, tx, context.outputs.capture)
}

function contentVerified(): EnsureStep<Ports, StoreCheckpoint, { parent: Base; capture: CapturedOn }, ReadBack> {
  return {
    timeoutMs: CAPTURE_TIMEOUT_MS,
    do: async (context) => {
      const { parent, capture } = context.outputs
      return { done: await readBack(context, parent.verified && !capture.isWhole ? parent.manifest : null) }
    },
  }
}

function keptTree({ checkpointId, manifest }: Base): KeptTree | null {
  return checkpointId !== null && isId('checkpoint', checkpointId) && manifest !== null ? { checkpointId, manifestSha256: manifest } : null
}

/** The checkpoint's snapshot, and where its project's checkpoints are stored. */
async function placeOf(ports: Ports, checkpointId: CheckpointId): Promise<{ snapshot: string | null; store: ProjectStore }> {
  const { snapshot } = await ports.db.selectFrom('checkpoints').select('snapshot').where('id', '=', checkpointId).executeTakeFirstOrThrow()
  return { snapshot, store: await storeOf(ports, checkpointId) }
}

async function finish(context: Context<{ verify: ReadBack }>, tx: Tx): Promise<null> {
  return recordReadBack(context, tx, context.outputs.verify)
}
