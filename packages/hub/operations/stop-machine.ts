/** Stops a machine; its tree is kept, and a run that was under way waits for the next start. */
import { MachineId } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { machineHalted } from './steps/machine-life.ts'
import { changeMachine, lockMachine, setControl } from './steps/machine-state.ts'
import { changeRun } from './steps/run-state.ts'

const StopMachine = z.object({ machineId: MachineId })
type Context = StepContext<Ports, z.output<typeof StopMachine>, unknown>

export const stopMachine = operation('stop-machine', StopMachine, { cancellable: false })
  .tx('halt', { do: pauseRun })
  .ensure('stop', { do: async (context) => (await machineHalted(context), { done: null }) })
  .tx('stopped', { do: stopped })

async function pauseRun({ input, ports }: Context, tx: Tx): Promise<null> {
  const machine = await lockMachine(tx, input.machineId)
  const run = await tx.selectFrom('runs').selectAll().where('machine_id', '=', input.machineId).where('ended_at', 'is', null).forUpdate().executeTakeFirst()
  if (run) {
    await changeRun(tx, ports.runtime, ports.ledger, run, 'pause', 'The machine was stopped.')
    await tx.updateTable('runs').set({ resume: true }).where('id', '=', run.id).execute()
  }
  await setControl(tx, await changeMachine(tx, ports.runtime, machine, 'halt'), 'park')
  return null
}

async function stopped({ input, ports }: Context, tx: Tx): Promise<null> {
  await changeMachine(tx, ports.runtime, await lockMachine(tx, input.machineId), 'stop')
  return null
}
