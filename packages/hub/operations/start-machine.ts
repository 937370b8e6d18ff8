/** Starts a stopped machine; a run that waited goes on where it was. */
import { MachineId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { machineBoots, machineFailed, machineRegistered, machineRuns, machineWorks } from './steps/machine-life.ts'

const StartMachine = z.object({ machineId: MachineId })
type Context = StepContext<Ports, z.output<typeof StartMachine>, object>

export const startMachine = operation('start-machine', StartMachine)
  .tx('boot', { do: machineBoots, undo: leaveFailed })
  .ensure('start', machineRuns)
  .until('registered', machineRegistered)
  .tx('ready', { do: machineWorks })

/** The run that waited for this start waits for the next one. */
async function leaveFailed({ input, ports, outputs, reason }: Context, tx: Tx): Promise<void> {
  if ('boot' in outputs) await machineFailed(ports, tx, input.machineId, reason?.message ?? 'The machine could not be started.', 'waits')
}
