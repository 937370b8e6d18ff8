/** What a rollback that nobody has asked for yet could not undo. */
import { AutovibeError, type CheckpointId, type MachineId, type RollbackEffects } from '@autovibe/contract'
import { assertMachineAllows } from '@autovibe/core/machines/transitions.ts'
import type { Database } from '../../database/database.ts'
import { readRollbackEffects } from '../../operations/requests/rollback-effects.ts'
import { readVerifiedCheckpoint } from './checkpoints.ts'

/** Refuses what the rollback itself would refuse for good; a machine that only is at something now is none of that. */
export async function readEffects(db: Database, machineId: MachineId, to: CheckpointId): Promise<RollbackEffects> {
  const machine = await db.selectFrom('machines').selectAll().where('id', '=', machineId).executeTakeFirstOrThrow()
  if (machine.destroyed_at !== null) assertMachineAllows(machine, 'rollback')
  const checkpoint = await readVerifiedCheckpoint(db, to)
  if (checkpoint.project_id !== machine.project_id)
    throw new AutovibeError('not_found', `There is no checkpoint ${to} of this project.`, { fix: `autovibe checkpoint list ${machine.name}` })
  return readRollbackEffects(db, { machine, head: machine.head_checkpoint_id, to })
}
