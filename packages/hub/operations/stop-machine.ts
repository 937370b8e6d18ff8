/** Stops a machine; its tree is kept. A run that was under way waits for the next start, which after the Hub's own end is the next Hub's to make. */
import { MachineId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { done, MACHINE_TIMEOUT_MS, machineFailed, machineHalted } from './steps/machine-life.ts'
import { changeMachine, lockMachine, setControl } from './steps/machine-state.ts'
import { stopClock } from './steps/run-clock.ts'
import { changeRun, openRunOf } from './steps/run-state.ts'

const StopMachine = z.object({
  machineId: MachineId,
  /** `asked`: somebody wants it stopped, and it stays so. `shutdown`: only the Hub ends, and what was at work goes on with the next. */
  reason: z.enum(['asked', 'shutdown']).default('asked'),
})
type Context = StepContext<Ports, z.output<typeof StopMachine>, object>
export type StopReason = z.output<typeof StopMachine>['reason']

/** Starts that a Hub may make by itself of a machine that the end of the last one has stopped: one, and some more should it fail. */
const RESTARTS_MAX = 3
const SHUT_DOWN = 'The Hub was stopped; the next one starts the machine again.'

export const stopMachine = operation('stop-machine', StopMachine, { cancellable: false })
  .tx('halt', { do: haltMachine, undo: leaveFailed })
  .ensure('stop', { timeoutMs: MACHINE_TIMEOUT_MS, do: done(machineHalted) })
  .tx('stopped', { do: stopped })

async function haltMachine({ input, ports }: Context, tx: Tx): Promise<null> {
  const machine = await lockMachine(tx, input.machineId)
  const run = await openRunOf(tx, input.machineId)
  // A run that waits already (for money, for a person) goes on waiting, and its machine is not needed until then.
  const goesOn = input.reason === 'shutdown' && run?.state !== 'paused'
  if (run) {
    if (goesOn) await stopClock(tx, ports.runtime, run.id)
    else await changeRun(tx, ports.runtime, ports.ledger, run, 'pause', 'The machine was stopped.')
    await tx.updateTable('runs').set({ resume: true }).where('id', '=', run.id).execute()
  }
  const halted = await changeMachine(tx, ports.runtime, machine, 'halt', goesOn ? SHUT_DOWN : null, { restarts_left: goesOn ? RESTARTS_MAX : 0 })
  // An agent that is parked reports a pause, but a run that goes on has none.
  await setControl(tx, halted, goesOn ? 'quiesce' : 'park')
  return null
}

/** Whether it still runs nobody knows; its tree and its run are kept, and it can be started or stopped again. */
async function leaveFailed({ input, ports, outputs, reason }: Context, tx: Tx): Promise<void> {
  if ('halt' in outputs) await machineFailed(ports, tx, input.machineId, `The machine could not be stopped: ${reason?.message}`, 'waits')
}

async function stopped({ input, ports }: Context, tx: Tx): Promise<null> {
  const machine = await lockMachine(tx, input.machineId)
  await changeMachine(tx, ports.runtime, machine, 'stop', machine.restarts_left > 0 ? SHUT_DOWN : null)
  return null
}
