/** Brings a frozen checkpoint into the store and proves that it can be read back: captured, stored, verified. */
import { AutovibeError, CheckpointId, isId } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import { z } from 'zod'
import type { KeptTree, ProjectStore } from '../checkpoints/store.ts'
import type { Tx } from '../database/database.ts'
import type { EnsureStep, StepContext, UntilStep } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { changeCheckpoint } from './steps/checkpoint-state.ts'

const StoreCheckpoint = z.object({ checkpointId: CheckpointId })
type StoreCheckpoint = z.output<typeof StoreCheckpoint>
type Context<O = unknown> = StepContext<Ports, StoreCheckpoint, O>

/** What the capture builds on: the nearest ancestor that is in the store. */
type Base = { checkpointId: string | null; handle: string | null; manifest: string | null; verified: boolean }
/** `isWhole`: without the parent, which then vouches for nothing. */
type Captured = { manifestSha256: string; files: number; bytes: number; newBytes: number; isWhole: boolean }

/** Reading a large tree for the first time may take this long, in ms. */
const CAPTURE_TIMEOUT_MS = 30 * 60_000
const PARENT_DEADLINE_MS = 60 * 60_000

export const storeCheckpoint = operation('store-checkpoint', StoreCheckpoint, { exclusive: false, cancellable: false, long: true })
  .until('parent', parentStored())
  .ensure('capture', treeCaptured())
  .tx('record', { do: recordMetadata, undo: giveUp })
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
    undo: giveUp,
  }
}

function treeCaptured(): EnsureStep<Ports, StoreCheckpoint, { parent: Base }, Captured> {
  return {
    timeoutMs: CAPTURE_TIMEOUT_MS,
    do: async ({ input, outputs, ports, signal }) => {
      const { snapshot, store } = await placeOf(ports, input.checkpointId)
      if (!snapshot) throw new AutovibeError('substrate.snapshot_gone', `Checkpoint ${input.checkpointId} has no snapshot to read.`)
      const captureOn = async (parent: KeptTree | null, handle: string | null): Promise<Captured> => ({
        ...(await store.capture({ checkpointId: input.checkpointId, parent, changes: ports.substrate.changes(snapshot, handle, signal) }, signal)),
        isWhole: parent === null,
      })
      const parent = keptTree(outputs.parent)
      try {
        return { done: await captureOn(parent, parent === null ? null : outputs.parent.handle) }
      } catch (error) {
        if (parent === null || !isCorrupt(error)) throw error
        // What it builds on is damaged or gone from the store: then all of it is stored, from the snapshot.
        return { done: await captureOn(null, null) }
      }
    },
    undo: async ({ input, ports }) => (await placeOf(ports, input.checkpointId)).store.forget(input.checkpointId),
  }
}

async function recordMetadata({ input, ports, outputs }: Context<{ capture: Captured }>, tx: Tx): Promise<null> {
  const { manifestSha256, files, bytes, newBytes } = outputs.capture
  await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'stored', {
    manifest_sha256: manifestSha256,
    files: BigInt(files),
    bytes: BigInt(bytes),
    new_bytes: BigInt(newBytes),
  })
  return null
}

function contentVerified(): EnsureStep<Ports, StoreCheckpoint, { parent: Base; capture: Captured }, { ok: boolean; damaged: string[] }> {
  return {
    timeoutMs: CAPTURE_TIMEOUT_MS,
    do: async ({ input, outputs, ports, signal }) => {
      const since = outputs.parent.verified && !outputs.capture.isWhole ? outputs.parent.manifest : null
      try {
        const { store } = await placeOf(ports, input.checkpointId)
        const { ok, damaged } = await store.verify(outputs.capture.manifestSha256, since, signal)
        return { done: { ok, damaged: [...damaged] } }
      } catch (error) {
        // The manifest itself is damaged: that is an answer, not a failure to get one.
        if (isCorrupt(error)) return { done: { ok: false, damaged: ['the manifest'] } }
        throw error
      }
    },
  }
}

const isCorrupt = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'checkpoint.corrupt'

function keptTree({ checkpointId, manifest }: Base): KeptTree | null {
  return checkpointId !== null && isId('checkpoint', checkpointId) && manifest !== null ? { checkpointId, manifestSha256: manifest } : null
}

/** The checkpoint's snapshot, and where its project's checkpoints are stored. */
async function placeOf({ db, store }: Ports, checkpointId: CheckpointId): Promise<{ snapshot: string | null; store: ProjectStore }> {
  const { project_id, snapshot } = await db
    .selectFrom('checkpoints')
    .select(['project_id', 'snapshot'])
    .where('id', '=', checkpointId)
    .executeTakeFirstOrThrow()
  return { snapshot, store: store.of(project_id) }
}

async function finish({ input, ports, outputs, now }: Context<{ verify: { ok: boolean; damaged: string[] } }>, tx: Tx): Promise<null> {
  const { ok, damaged } = outputs.verify
  if (ok) await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'verified', { verified_at: now })
  else await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'corrupt', { state_reason: `Damaged: ${damaged.slice(0, 5).map(quotePath).join(', ')}` })
  return null
}

async function giveUp({ input, ports, reason }: Context, tx: Tx): Promise<void> {
  await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'failed', { state_reason: reason?.message ?? 'The checkpoint could not be stored.' })
}
