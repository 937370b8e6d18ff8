/** Ends a machine for good; its checkpoints stay. Whatever else is under way on it is cancelled first. */
import { MachineId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext, UntilStep } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { closeMachine, done, MACHINE_TIMEOUT_MS, machineAbsent, machineGone } from './steps/machine-life.ts'
import { changeMachine, lockMachine } from './steps/machine-state.ts'

const DestroyMachine = z.object({ machineId: MachineId })
type DestroyMachine = z.output<typeof DestroyMachine>
type Context = StepContext<Ports, DestroyMachine, unknown>

/** The cancelled operation may take this long to unwind, in ms; then the machine goes all the same. */
const ALONE_DEADLINE_MS = 120_000

export const destroyMachine = operation('destroy-machine', DestroyMachine, { exclusive: false, cancellable: false })
  .until('alone', nothingElse())
  .tx('close', { do: close })
  .ensure('absent', { timeoutMs: MACHINE_TIMEOUT_MS, do: done(machineAbsent) })
  .tx('destroyed', { do: async (context, tx) => (await machineGone(context, tx), null) })

function nothingElse(): UntilStep<Ports, DestroyMachine, unknown, null | Record<string, never>> {
  return {
    deadlineMs: ALONE_DEADLINE_MS,
    ready: async ({ input, operationId }, tx) => {
      const other = await tx
        .selectFrom('operations')
        .select('id')
        .where('machine_id', '=', input.machineId)
        .where('exclusive', '=', true)
        .where('ended_at', 'is', null)
        .where('id', '<>', operationId)
        .executeTakeFirst()
      if (other) return null
      await tx.updateTable('operations').set({ exclusive: true }).where('id', '=', operationId).execute()
      return {}
    },
    atDeadline: async () => ({}),
  }
}

/** From here on there is no way back: a machine that is `stopping` and in nobody's hands is destroyed by the sweep. */
async function close({ input, ports }: Context, tx: Tx): Promise<null> {
  await closeMachine(ports, tx, input.machineId, null)
  const machine = await lockMachine(tx, input.machineId)
  if (machine.state !== 'destroyed') await changeMachine(tx, ports.runtime, machine, 'halt')
  return null
}
