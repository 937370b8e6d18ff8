/** Stops a machine; its tree is kept, and a run that was under way waits for the next start. */
import { MachineId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { done, machineFailed, machineHalted } from './steps/machine-life.ts'
import { changeMachine, lockMachine, setControl } from './steps/machine-state.ts'
import { changeRun, openRunOf } from './steps/run-state.ts'

const StopMachine = z.object({ machineId: MachineId })
type Context = StepContext<Ports, z.output<typeof StopMachine>, object>

export const stopMachine = operation('stop-machine', StopMachine, { cancellable: false })
  .tx('halt', { do: pauseRun, undo: leaveFailed })
  .ensure('stop', { do: done(machineHalted) })
  .tx('stopped', { do: stopped })

async function pauseRun({ input, ports }: Context, tx: Tx): Promise<null> {
  const machine = await lockMachine(tx, input.machineId)
  const run = await openRunOf(tx, input.machineId)
  if (run) {
    await changeRun(tx, ports.runtime, ports.ledger, run, 'pause', 'The machine was stopped.')
    await tx.updateTable('runs').set({ resume: true }).where('id', '=', run.id).execute()
  }
  await setControl(tx, await changeMachine(tx, ports.runtime, machine, 'halt'), 'park')
  return null
}

/** Whether it still runs nobody knows; its tree and its run are kept, and it can be started or stopped again. */
async function leaveFailed({ input, ports, outputs, reason }: Context, tx: Tx): Promise<void> {
  if ('halt' in outputs) await machineFailed(ports, tx, input.machineId, `The machine could not be stopped: ${reason?.message}`, 'waits')
}

async function stopped({ input, ports }: Context, tx: Tx): Promise<null> {
  await changeMachine(tx, ports.runtime, await lockMachine(tx, input.machineId), 'stop')
  return null
}
