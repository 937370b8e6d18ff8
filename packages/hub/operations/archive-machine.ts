/** Takes an archive of a machine, which goes on meanwhile: a checkpoint first, so that the copy has a tree that is whole, then the copy, then older ones go. */
import { AutovibeError, CheckpointId, type Json, MachineArchiveId, MachineId } from '@autovibe/contract'
import { LOCK_WAIT_MOST_MS, type LockWait, meetLock } from '@autovibe/core/machines/archive-waits.ts'
import { surplusArchives } from '@autovibe/core/machines/archives.ts'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { TakenArchive } from '../substrates/substrate.ts'
import type { Ensured, EnsureStep, StepContext, UntilStep } from './engine/define.ts'
import { enqueue } from './engine/enqueue.ts'
import { operation, type Ports } from './ports.ts'
import { removeArchive } from './remove-archive.ts'
import { archivesOf } from './requests/archives-of.ts'
import { changeArchive, lockArchive } from './steps/archive-state.ts'

const ArchiveMachine = z.object({ archiveId: MachineArchiveId, machineId: MachineId, checkpointId: CheckpointId })
type ArchiveMachine = z.output<typeof ArchiveMachine>
type Context<O = unknown> = StepContext<Ports, ArchiveMachine, O>
type Taken = { volume: string; sizeBytes: number; verification: TakenArchive['verification'] }

const CHECKPOINT_DEADLINE_MS = 30 * 60_000
/** Its VM may have to be turned on first. */
const TAKE_TIMEOUT_MS = 10 * 60_000
const LOOK_AGAIN_MS = 5_000

/** Beside whatever else happens to the machine: a copy of a large disk takes hours. */
export const archiveMachine = operation('archive-machine', ArchiveMachine, { exclusive: false, long: true })
  .until('checkpoint', treeFrozen())
  .ensure('take', copyTaken())
  .tx('record', { do: record })

/** On the disk of the machine: that the store has it too is not waited for. */
function treeFrozen(): UntilStep<Ports, ArchiveMachine, unknown, Record<string, never>> {
  return {
    deadlineMs: CHECKPOINT_DEADLINE_MS,
    ready: async ({ input }, tx) => {
      const { state } = await tx.selectFrom('checkpoints').select('state').where('id', '=', input.checkpointId).executeTakeFirstOrThrow()
      if (state === 'pending') return null
      if (state === 'capturing' || state === 'stored' || state === 'verified') return {}
      throw new AutovibeError('checkpoint.not_verified', `The checkpoint ${input.checkpointId} that the archive was to contain became ${state}.`, {
        fix: `autovibe checkpoint show ${input.checkpointId}`,
      })
    },
    undo: async ({ input, ports, reason }, tx) => {
      const archive = await lockArchive(tx, input.archiveId)
      await changeArchive(tx, ports.runtime, archive, 'failed', { state_reason: reason?.message ?? 'The archive was given up.', fix: reason?.fix ?? null })
    },
  }
}

function copyTaken(): EnsureStep<Ports, ArchiveMachine, unknown, Taken> {
  return {
    timeoutMs: TAKE_TIMEOUT_MS,
    do: async ({ input, ports, signal }, handle) => {
      const taken = await archivesOf(ports).take(input, signal)
      if ('volume' in taken) return { done: { ...taken } }
      if ('lockedBy' in taken) return waitForLock(taken.lockedBy, handle, ports.runtime.now())
      // A task that is about to meet the lock again looks like one that copies: when the wait began is kept.
      return { pending: { ...handle, waits_for: taken.waitsFor }, againMs: LOOK_AGAIN_MS }
    },
    undo: ({ input, ports, signal }) => archivesOf(ports).remove(input, signal),
  }
}

/** Said to whoever looks at the operation, for as long as the lock may be waited for; then it is what the archive fails for. */
function waitForLock(error: AutovibeError, handle: Record<string, Json> | null, now: Date): Ensured<never> {
  const met = meetLock(waitIn(handle), now.getTime())
  const minutes = LOCK_WAIT_MOST_MS / 60_000
  if (met === 'over') {
    const { code, fix, internal, message } = error
    throw new AutovibeError(code, `${message} It was waited for for ${minutes} minutes.`, { fix, internal, cause: error })
  }
  const { sinceMs, metMs, looks } = met.wait
  const waits_for = `${error.message} It is waited for since ${new Date(sinceMs).toISOString()}, for ${minutes} minutes at most.`
  return { pending: { waits_for, locked_since_ms: sinceMs, locked_met_ms: metMs, locked_looks: looks }, againMs: met.againMs }
}

function waitIn(handle: Record<string, Json> | null): LockWait | null {
  const { locked_since_ms: sinceMs, locked_met_ms: metMs, locked_looks: looks } = handle ?? {}
  return typeof sinceMs === 'number' && typeof metMs === 'number' && typeof looks === 'number' ? { sinceMs, metMs, looks } : null
}

async function record({ input, ports, outputs, now }: Context<{ take: Taken }>, tx: Tx): Promise<null> {
  const { volume, sizeBytes, verification } = outputs.take
  const archive = await lockArchive(tx, input.archiveId)
  await changeArchive(tx, ports.runtime, archive, 'stored', { volume, size_bytes: BigInt(sizeBytes), verification, stored_at: now, looked_at: now })
  const stored = await tx
    .selectFrom('machine_archives')
    .select(['id', 'verification', 'missing'])
    .where('machine_id', '=', input.machineId)
    .where('state', '=', 'stored')
    .execute()
  for (const id of surplusArchives(stored, archivesOf(ports).keep))
    await enqueue(tx, ports.runtime, removeArchive, { archiveId: id }, { projectId: archive.project_id, machineId: input.machineId })
  return null
}
