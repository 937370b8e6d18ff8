/** Keeps the checkpoint store in order while nobody looks: what no checkpoint needs is collected, what went bad on the disk is found, and the checkpoints that it concerns are said to be damaged. */
import { AutovibeError, type CheckpointId, type CheckpointState, type ProjectId } from '@autovibe/contract'
import { quotePath } from '@autovibe/core/checkpoints/manifest.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import type { Ports } from '../operations/ports.ts'
import { changeCheckpoint } from '../operations/steps/checkpoint-state.ts'

export const STORE_LOOK_EVERY_MS = 60 * 60 * 1000
/** At each look one project is read to its last byte, no faster than so; with many projects each has its turn. */
const SCRUB_BYTES_PER_SECOND = 32 * 1024 * 1024
const SCRUB_TIMEOUT_MS = 45 * 60 * 1000
const NAMED_MAX = 5

export interface StoreCareDeps extends Pick<Ports, 'db' | 'runtime' | 'store'> {
  readonly log: EngineLog
  /** Ends what is under way: a whole store takes long to read. */
  readonly signal: AbortSignal
}

/** Answers what is to be called at every look; the turns are remembered as long as the Hub runs. */
export function careForStore(deps: StoreCareDeps): () => Promise<void> {
  const scrubbed = new Map<ProjectId, number>()
  let look = 0
  return async () => {
    look++
    const projects = (await deps.db.selectFrom('projects').select('id').orderBy('id').execute()).map(({ id }) => id)
    for (const projectId of projects) {
      if (deps.signal.aborted) return
      await collect(deps, projectId)
    }
    const [next] = projects.toSorted((a, b) => (scrubbed.get(a) ?? 0) - (scrubbed.get(b) ?? 0))
    if (next === undefined) return
    scrubbed.set(next, look)
    await scrub(deps, next).catch((error: unknown) => {
      if (!deps.signal.aborted) throw error
    })
  }
}

/** A project that cannot be collected is looked into, and the others are collected all the same. */
async function collect(deps: StoreCareDeps, projectId: ProjectId): Promise<void> {
  try {
    const { deleted, condemned, movedBytes } = await deps.store.of(projectId).collect(withTimeout(deps.signal))
    if (deleted + condemned > 0) deps.log.info({ project: projectId, deleted, condemned, moved_bytes: movedBytes }, 'the store of checkpoints was collected')
  } catch (error) {
    if (deps.signal.aborted) return
    deps.log.error({ err: error, project: projectId }, 'the store of checkpoints could not be collected')
    if (isCorrupt(error)) await judgeCheckpoints(deps, projectId)
  }
}

async function scrub(deps: StoreCareDeps, projectId: ProjectId): Promise<void> {
  const { problems, unread } = await deps.store.of(projectId).scrub(SCRUB_BYTES_PER_SECOND, withTimeout(deps.signal))
  const isAnyDamaged = await deps.db
    .selectFrom('checkpoints')
    .select('id')
    .where('project_id', '=', projectId)
    .where('state', '=', 'corrupt')
    .limit(1)
    .executeTakeFirst()
  if (problems.length > 0) deps.log.error({ project: projectId, problems }, 'the disk of the checkpoint store has lost something')
  if (unread.length > 0) deps.log.error({ project: projectId, unread }, 'the disk of the checkpoint store does not give what lies on it')
  // What was damaged may have healed meanwhile.
  if (problems.length > 0 || isAnyDamaged) await judgeCheckpoints(deps, projectId)
}

/** Reads all that each checkpoint of the project needs: those that have lost something become `corrupt`, with the files, and those that have healed are `verified` again. */
export async function judgeCheckpoints(deps: StoreCareDeps, projectId: ProjectId): Promise<void> {
  const { db, runtime, store, log } = deps
  const rows = await db
    .selectFrom('checkpoints')
    .select(['id', 'state', 'manifest_sha256'])
    .where('project_id', '=', projectId)
    .where('state', 'in', ['verified', 'corrupt'])
    .orderBy('id')
    .execute()
  for (const { id, state, manifest_sha256 } of rows) {
    if (manifest_sha256 === null) continue
    const damaged = await damagedIn(store.of(projectId), manifest_sha256, deps.signal).catch((error: unknown) => {
      if (!isUnread(error)) throw error
      log.error({ err: error, checkpoint: id }, 'a checkpoint could not be read')
      return null
    })
    // What the disk does not give says nothing of what was written there.
    if (damaged === null) continue
    if (damaged.length > 0 && state === 'verified') {
      log.error({ checkpoint: id, damaged }, 'a checkpoint is damaged')
      await change(deps, id, state, 'corrupt', `Damaged: ${damaged.slice(0, NAMED_MAX).map(quotePath).join(', ')}`)
    } else if (damaged.length === 0 && state === 'corrupt') await change(deps, id, state, 'verified', null, runtime.now())
  }
}

async function damagedIn(project: ReturnType<Ports['store']['of']>, manifestSha256: string, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return (await project.verify(manifestSha256, null, withTimeout(signal))).damaged
  } catch (error) {
    if (isCorrupt(error)) return ['the manifest']
    throw error
  }
}

/** Unless somebody else has changed it meanwhile. */
async function change(
  { db, runtime }: StoreCareDeps,
  id: CheckpointId,
  from: CheckpointState,
  to: CheckpointState,
  reason: string | null,
  verifiedAt?: Date,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const row = await tx.selectFrom('checkpoints').select('state').where('id', '=', id).forUpdate().executeTakeFirst()
    if (row?.state === from) await changeCheckpoint(tx, runtime, id, to, { state_reason: reason, ...(verifiedAt ? { verified_at: verifiedAt } : {}) })
  })
}

const withTimeout = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(SCRUB_TIMEOUT_MS)])

/** What the disk does not give now it may give at the next attempt. */
const isUnread = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'substrate.failed' && error.retryable

const isCorrupt = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'checkpoint.corrupt'
