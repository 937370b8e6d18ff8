/** Brings a frozen checkpoint into the store and proves that it can be read back: captured, stored, verified. */
import { AutovibeError, CheckpointId } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { EnsureStep, StepContext, UntilStep } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { changeCheckpoint } from './steps/checkpoint-state.ts'

const StoreCheckpoint = z.object({ checkpointId: CheckpointId })
type StoreCheckpoint = z.output<typeof StoreCheckpoint>
type Context<O = unknown> = StepContext<Ports, StoreCheckpoint, O>

/** What the capture builds on: the nearest ancestor that is in the store. */
type Base = { handle: string | null; manifest: string | null; verified: boolean }
type Captured = { manifestSha256: string; files: number; bytes: number; newBytes: number }

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
          return { handle: parent.snapshot, manifest: parent.manifest_sha256, verified: parent.state === 'verified' }
        parent_id = parent.parent_id
      }
      return { handle: null, manifest: null, verified: false }
    },
    undo: giveUp,
  }
}

function treeCaptured(): EnsureStep<Ports, StoreCheckpoint, { parent: Base }, Captured> {
  return {
    timeoutMs: CAPTURE_TIMEOUT_MS,
    do: async ({ input, outputs, ports, signal }) => {
      const { snapshot } = await ports.db.selectFrom('checkpoints').select('snapshot').where('id', '=', input.checkpointId).executeTakeFirstOrThrow()
      if (!snapshot) throw new AutovibeError('substrate.snapshot_gone', `Checkpoint ${input.checkpointId} has no snapshot to read.`)
      const changes = ports.substrate.changes(snapshot, outputs.parent.handle, signal)
      return { done: { ...(await ports.store.capture(outputs.parent.manifest, changes, signal)) } }
    },
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
    do: async ({ outputs, ports, signal }) => {
      const since = outputs.parent.verified ? outputs.parent.manifest : null
      try {
        const { ok, damaged } = await ports.store.verify(outputs.capture.manifestSha256, since, signal)
        return { done: { ok, damaged: [...damaged] } }
      } catch (error) {
        // The manifest itself is damaged: that is an answer, not a failure to get one.
        if (error instanceof AutovibeError && error.code === 'checkpoint.corrupt') return { done: { ok: false, damaged: ['the manifest'] } }
        throw error
      }
    },
  }
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
