/** What the Hub asks for by itself: the start of a machine that the end of the last one has stopped. */
import type { MachineId } from '@autovibe/contract'
import { machineAllows } from '@autovibe/core/machines/transitions.ts'
import type { Tx } from '../../database/database.ts'
import type { Runtime } from '../../runtime.ts'
import { enqueue } from '../engine/enqueue.ts'
import { startMachine } from '../start-machine.ts'
import { lockMachine } from '../steps/machine-state.ts'

/** Uses up one of its restarts. False when it needs none any more; `conflict.busy` when an operation has it in hand. */
export async function enqueueRestart(tx: Tx, runtime: Runtime, machineId: MachineId): Promise<boolean> {
  const machine = await lockMachine(tx, machineId)
  if (machine.restarts_left === 0 || machine.token_hash === null || !machineAllows(machine.state, 'start')) return false
  await tx
    .updateTable('machines')
    .set({ restarts_left: machine.restarts_left - 1 })
    .where('id', '=', machineId)
    .execute()
  await enqueue(tx, runtime, startMachine, { machineId, reason: 'shutdown' }, { projectId: machine.project_id, machineId })
  return true
}
