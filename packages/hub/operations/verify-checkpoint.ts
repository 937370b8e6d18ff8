/** Reads a checkpoint back from the store now, and with `restore` also drills what it is for; its state says afterwards what was found. */
import { AutovibeError, CheckpointId, type Json } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import { z } from 'zod'
import { drillRestore } from '../checkpoints/drill.ts'
import type { ProjectStore } from '../checkpoints/store.ts'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { EnsureStep, StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { changeCheckpoint } from './steps/checkpoint-state.ts'

const VerifyCheckpoint = z.object({ checkpointId: CheckpointId, restore: z.boolean() })
type VerifyCheckpoint = z.output<typeof VerifyCheckpoint>
type Context<O = unknown> = StepContext<Ports, VerifyCheckpoint, O>

/** What is wrong, as words each; none: it is sound. */
type Found = { problems: string[] }
type Restored = Found & { drilled: boolean; files: number; bytes: number }

/** Reading or restoring a large tree may take this long, in ms. */
const READ_TIMEOUT_MS = 60 * 60_000
const NAMED_MAX = 5
const NOT_RESTORED: Restored = { problems: [], drilled: false, files: 0, bytes: 0 }

export const verifyCheckpoint = operation('verify-checkpoint', VerifyCheckpoint, { exclusive: false, long: true })
  .ensure('verify', contentsRead())
  .ensure('restore', treeRestored())
  .tx('finish', { do: finish })

function contentsRead(): EnsureStep<Ports, VerifyCheckpoint, unknown, Found> {
  return {
    timeoutMs: READ_TIMEOUT_MS,
    do: async ({ input, ports, signal }) => {
      const { project, manifestSha256 } = await placeOf(ports, input.checkpointId)
      const problems = await unlessCorrupt(async () => (await project.verify(manifestSha256, null, signal)).damaged.map(quotePath), damagedManifest)
      return { done: { problems: [...problems] } }
    },
  }
}

function treeRestored(): EnsureStep<Ports, VerifyCheckpoint, { verify: Found }, Restored> {
  return {
    timeoutMs: READ_TIMEOUT_MS,
    do: async ({ input, outputs, ports, signal }) => {
      // What cannot be read back cannot be restored either, and its files are named already.
      if (!input.restore || outputs.verify.problems.length > 0) return { done: NOT_RESTORED }
      const { project, manifestSha256 } = await placeOf(ports, input.checkpointId)
      const drill = async (): Promise<Restored> => {
        const { differences, files, bytes } = await drillRestore(project, manifestSha256, ports.scratch, signal)
        return { problems: [...differences], drilled: true, files, bytes }
      }
      return { done: await unlessCorrupt(drill, (error) => ({ ...NOT_RESTORED, drilled: true, problems: [error.message] })) }
    },
  }
}

const damagedManifest = (): string[] => ['the manifest']

/** Damage is an answer, not a failure to get one. */
async function unlessCorrupt<T>(work: () => Promise<T>, answer: (error: AutovibeError) => T): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof AutovibeError && error.code === 'checkpoint.corrupt') return answer(error)
    throw error
  }
}

async function placeOf({ db, store }: Ports, checkpointId: CheckpointId): Promise<{ project: ProjectStore; manifestSha256: string }> {
  const { project_id, state, manifest_sha256 } = await db
    .selectFrom('checkpoints')
    .select(['project_id', 'state', 'manifest_sha256'])
    .where('id', '=', checkpointId)
    .executeTakeFirstOrThrow()
  if (!isKept(state) || manifest_sha256 === null)
    throw new AutovibeError('conflict.state', `The checkpoint ${checkpointId} became ${state} meanwhile.`, { fix: `autovibe checkpoint show ${checkpointId}` })
  return { project: store.of(project_id), manifestSha256: manifest_sha256 }
}

const isKept = (state: string): boolean => state === 'verified' || state === 'corrupt'

async function finish({ input, ports, outputs, now }: Context<{ verify: Found; restore: Restored }>, tx: Tx): Promise<null> {
  const { runtime } = ports
  const { checkpointId } = input
  const { verify, restore } = outputs
  const row = await tx.selectFrom('checkpoints').selectAll().where('id', '=', checkpointId).forUpdate().executeTakeFirstOrThrow()
  // It expired meanwhile: what it was says nothing any more.
  if (!isKept(row.state)) return null
  const problems = [...verify.problems, ...restore.problems]
  const ok = problems.length === 0
  const data: Record<string, Json> = { ok, restored: restore.drilled, files: restore.files, bytes: restore.bytes, problems: problems.slice(0, NAMED_MAX) }
  const { project_id, machine_id, run_id } = row
  await recordEvent(tx, runtime, { type: 'checkpoint.checked', project_id, machine_id, run_id, checkpoint_id: checkpointId, data })
  const named = problems.slice(0, NAMED_MAX).join(', ')
  const reason = `${verify.problems.length > 0 ? 'Damaged' : 'Restored otherwise'}: ${named}`
  if (!ok) {
    if (row.state !== 'corrupt' || row.state_reason !== reason) await changeCheckpoint(tx, runtime, checkpointId, 'corrupt', { state_reason: reason })
  } else if (row.state === 'corrupt') await changeCheckpoint(tx, runtime, checkpointId, 'verified', { state_reason: null, verified_at: now })
  // Nothing has changed but when it was looked at last.
  else await tx.updateTable('checkpoints').set({ verified_at: now }).where('id', '=', checkpointId).execute()
  return null
}
