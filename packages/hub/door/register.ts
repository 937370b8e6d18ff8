/** A machine says that it is up. */
import { Registered, RegisterMachine } from '@autovibe/contract'
import { recordEvent } from '../database/events.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import { interruptSteps } from '../operations/steps/interrupted-steps.ts'
import { changeMachine, lockMachine } from '../operations/steps/machine-state.ts'
import { openRunOf } from '../operations/steps/run-state.ts'
import type { DoorApp, DoorContext } from './door.ts'

export const HEARTBEAT_MS = 5_000

export function registerRoutes(app: DoorApp, { db, runtime, rateLimits }: DoorContext): void {
  app.post('/door/register', { schema: { body: RegisterMachine, response: { 200: Registered } } }, async ({ machineId, body }) => {
    const isAwaited = await transactionWithRetry(db, async (tx) => {
      const machine = await lockMachine(tx, machineId)
      if (machine.boot_id === body.boot_id) return false
      // What the agent before it was at, it left: whoever comes now begins anew.
      const run = await openRunOf(tx, machineId)
      if (run) await interruptSteps(tx, runtime, run)
      const now = runtime.now()
      const awake = { boot_id: body.boot_id, registered_at: now, last_heartbeat_at: now }
      // An agent that comes back while its machine works (the Hub was away, or it was started again) finds the state as it was.
      if (machine.state === 'booting') await changeMachine(tx, runtime, machine, 'register', null, awake)
      else await tx.updateTable('machines').set(awake).where('id', '=', machineId).execute()
      await recordEvent(tx, runtime, {
        type: 'machine.registered',
        project_id: machine.project_id,
        machine_id: machineId,
        data: { boot_id: body.boot_id, agent_version: body.agent_version },
      })
      return machine.state === 'booting'
    })
    // However often people start it or roll it back: only what the machine makes up by itself is counted.
    if (isAwaited) rateLimits.forgiveRegistration(machineId)
    return { machine_id: machineId, heartbeat_ms: HEARTBEAT_MS }
  })
}
