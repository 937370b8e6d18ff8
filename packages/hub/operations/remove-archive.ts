/** Removes an archive for good, of a machine that is destroyed too; one that failed leaves the list. */
import { MachineArchiveId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { archivesOf } from './requests/archives-of.ts'
import { changeArchive, lockArchive } from './steps/archive-state.ts'

const RemoveArchive = z.object({ archiveId: MachineArchiveId })
type Context = StepContext<Ports, z.output<typeof RemoveArchive>, unknown>

/** A backup server may be slow to let go of one. */
const REMOVE_TIMEOUT_MS = 20 * 60_000

export const removeArchive = operation('remove-archive', RemoveArchive, { exclusive: false, cancellable: false, long: true })
  .tx('begin', { do: begin, undo: leave })
  .ensure('remove', {
    timeoutMs: REMOVE_TIMEOUT_MS,
    do: async ({ input, ports, signal }) => {
      const { machine_id, checkpoint_id } = await ports.db
        .selectFrom('machine_archives')
        .select(['machine_id', 'checkpoint_id'])
        .where('id', '=', input.archiveId)
        .executeTakeFirstOrThrow()
      await archivesOf(ports).remove({ archiveId: input.archiveId, machineId: machine_id, checkpointId: checkpoint_id }, signal)
      return { done: null }
    },
  })
  .tx('removed', { do: removed })

async function begin({ input, ports }: Context, tx: Tx): Promise<null> {
  const archive = await lockArchive(tx, input.archiveId)
  // Of one that failed nothing is there; and somebody else may have been quicker.
  if (archive.state === 'stored') await changeArchive(tx, ports.runtime, archive, 'removing')
  return null
}

/** It is there still, or again: the next look tells. */
async function leave({ input, ports, reason }: Context, tx: Tx): Promise<void> {
  const archive = await lockArchive(tx, input.archiveId)
  if (archive.state === 'removing')
    await changeArchive(tx, ports.runtime, archive, 'stored', { state_reason: `It could not be removed: ${reason?.message}`, fix: reason?.fix ?? null })
}

async function removed({ input, ports }: Context, tx: Tx): Promise<null> {
  await changeArchive(tx, ports.runtime, await lockArchive(tx, input.archiveId), 'removed')
  return null
}
