/** Bounds the checkpoints of one machine that are not verified yet. */
import { AutovibeError, DOOR_LIMITS, type MachineId } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'

/** A machine that asks faster than the store reads would fill the substrate with snapshots. Lock the machine first, so that two that ask at once are counted one after the other. */
export async function assertFewOnTheirWay(tx: Tx, machineId: MachineId): Promise<void> {
  const onTheirWay = await tx
    .selectFrom('checkpoints')
    .select('id')
    .where('machine_id', '=', machineId)
    .where('state', 'in', ['pending', 'capturing', 'stored'])
    .limit(DOOR_LIMITS.checkpointsOnTheirWay)
    .execute()
  if (onTheirWay.length === DOOR_LIMITS.checkpointsOnTheirWay)
    throw new AutovibeError('conflict.busy', `${DOOR_LIMITS.checkpointsOnTheirWay} checkpoints of this machine are still on their way.`)
}
