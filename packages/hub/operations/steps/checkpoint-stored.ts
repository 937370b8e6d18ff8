/** The part of a checkpoint's way that all of them go: what was captured is noted, read back, and only then called verified. */
import { AutovibeError, type CheckpointId } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import type { ProjectStore } from '../../checkpoints/store.ts'
import type { Tx } from '../../database/database.ts'
import type { StepContext } from '../engine/define.ts'
import type { Ports } from '../ports.ts'
import { changeCheckpoint } from './checkpoint-state.ts'

export type Captured = { manifestSha256: string; files: number; bytes: number; newBytes: number }
export type ReadBack = { ok: boolean; damaged: string[] }
type OfCheckpoint<O = unknown> = StepContext<Ports, { readonly checkpointId: CheckpointId }, O>

/** Reading a large tree for the first time may take this long, in ms. */
export const CAPTURE_TIMEOUT_MS = 30 * 60_000

/** Where the checkpoints of its project are stored. */
export async function storeOf({ db, store }: Ports, checkpointId: CheckpointId): Promise<ProjectStore> {
  const { project_id } = await db.selectFrom('checkpoints').select('project_id').where('id', '=', checkpointId).executeTakeFirstOrThrow()
  return store.of(project_id)
}

export async function recordCaptured({ input, ports }: OfCheckpoint, tx: Tx, { manifestSha256, files, bytes, newBytes }: Captured): Promise<null> {
  await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'stored', {
    manifest_sha256: manifestSha256,
    files: BigInt(files),
    bytes: BigInt(bytes),
    new_bytes: BigInt(newBytes),
  })
  return null
}

/** `since`: a verified manifest whose contents need not be read again. */
export async function readBack({ input, ports, outputs, signal }: OfCheckpoint<{ capture: Captured }>, since: string | null): Promise<ReadBack> {
  try {
    const { ok, damaged } = await (await storeOf(ports, input.checkpointId)).verify(outputs.capture.manifestSha256, since, signal)
    return { ok, damaged: [...damaged] }
  } catch (error) {
    // The manifest itself is damaged: that is an answer, not a failure to get one.
    if (isCorrupt(error)) return { ok: false, damaged: ['the manifest'] }
    throw error
  }
}

export const isCorrupt = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'checkpoint.corrupt'

export async function recordReadBack({ input, ports, now }: OfCheckpoint, tx: Tx, { ok, damaged }: ReadBack): Promise<null> {
  if (ok) await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'verified', { verified_at: now })
  else await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'corrupt', { state_reason: `Damaged: ${damaged.slice(0, 5).map(quotePath).join(', ')}` })
  return null
}

export async function storeFailed({ input, ports, reason }: OfCheckpoint, tx: Tx): Promise<void> {
  await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'failed', { state_reason: reason?.message ?? 'The checkpoint could not be stored.' })
}
