/** Starts a stopped machine; a run that waited goes on where it was. */
import { MachineId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { bootMachine, machineFailed, machineRegistered, machineRuns, machineWorks } from './steps/machine-life.ts'
import { lockMachine } from './steps/machine-state.ts'
import { changeRun, openRunOf } from './steps/run-state.ts'

const StartMachine = z.object({
  machineId: MachineId,
  /** `asked`: by somebody. `shutdown`: by the Hub itself, because the end of the last one has stopped it. */
  reason: z.enum(['asked', 'shutdown']).default('asked'),
})
type Context = StepContext<Ports, z.output<typeof StartMachine>, object>

export const startMachine = operation('start-machine', StartMachine)
  .tx('boot', { do: boot, undo: leaveFailed })
  .ensure('start', machineRuns)
  .until('registered', machineRegistered)
  .tx('ready', { do: machineWorks })

function boot({ input, ports }: Context, tx: Tx): Promise<null> {
  return bootMachine(ports, tx, input.machineId, input.reason === 'shutdown' ? 'Started again after the Hub was stopped.' : null)
}

/** The run that waited for this start waits for the next one: that of a person, or that of the sweep while it may try. */
async function leaveFailed({ input, ports, outputs, reason }: Context, tx: Tx): Promise<void> {
  const message = reason?.message ?? 'The machine could not be started.'
  // Whoever cancels a start wants none.
  if (reason?.code === 'operation.cancelled') await tx.updateTable('machines').set({ restarts_left: 0 }).where('id', '=', input.machineId).execute()
  const { restarts_left: left } = await lockMachine(tx, input.machineId)
  if ('boot' in outputs) return machineFailed(ports, tx, input.machineId, left > 0 ? `${message} The Hub tries again.` : message, 'waits')
  // It never began, and nobody else will: a run that the end of a Hub has left running does not go on.
  const run = left > 0 ? null : await openRunOf(tx, input.machineId)
  if (run) await changeRun(tx, ports.runtime, ports.ledger, run, 'pause', message)
}
