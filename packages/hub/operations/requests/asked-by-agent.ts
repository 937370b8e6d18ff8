/** What an agent may ask for by itself: a checkpoint of its own machine, for a run of its own, and not too many at once. */
import { AutovibeError, DOOR_LIMITS, type RunId } from '@autovibe/contract'
import { assertMachineAllows } from '@autovibe/core/machines/transitions.ts'
import type { Tx } from '../../database/database.ts'
import { assertMachineFree } from '../engine/enqueue.ts'
import type { MachineRow } from '../steps/machine-state.ts'

/** Lock the machine first, so that two that ask at once are counted one after the other. Whose a run is never changes: nobody is waited for who has it in hand. */
export async function assertMayAsk(tx: Tx, machine: MachineRow, runId: RunId | null): Promise<void> {
  const most = DOOR_LIMITS.checkpointsOnTheirWay
  const { isOwn, onTheirWay, isTaken } = await tx
    .selectNoFrom((eb) => [
      eb
        .exists(
          eb
            .selectFrom('runs')
            .select('id')
            .where('id', '=', runId ?? ('' as RunId))
            .where('machine_id', '=', machine.id),
        )
        .as('isOwn'),
      // Looked at before anything is inserted: the index would wait for whoever has that operation in hand, and he may wait for this machine.
      eb
        .exists(eb.selectFrom('operations').select('id').where('machine_id', '=', machine.id).where('exclusive', '=', true).where('ended_at', 'is', null))
        .as('isTaken'),
      eb
        .selectFrom(
          eb
            .selectFrom('checkpoints')
            .select('id')
            .where('machine_id', '=', machine.id)
            .where('state', 'in', ['pending', 'capturing', 'stored'])
            .limit(most)
            .as('few'),
        )
        .select(({ fn }) => fn.countAll().as('n'))
        .as('onTheirWay'),
    ])
    .executeTakeFirstOrThrow()
  // A machine that asks faster than the store reads would fill the substrate with snapshots.
  if (Number(onTheirWay) >= most) throw new AutovibeError('conflict.busy', `${most} checkpoints of this machine are still on their way.`)
  assertMachineAllows(machine, 'checkpoint')
  if (isTaken) await assertMachineFree(tx, machine.id)
  if (!isOwn) throw new AutovibeError('auth.forbidden', `The run ${runId} is not this machine's.`)
}
