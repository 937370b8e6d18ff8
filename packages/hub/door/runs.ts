/** An agent says how its run stands; the Hub decides what follows. */
import { AutovibeError, Instructions, type MachineId, RunId, RunReport } from '@autovibe/contract'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import { limitReached } from '../metering/meter.ts'
import { changeMachine, lockMachine, setControl } from '../operations/steps/machine-state.ts'
import { changeRun, lockRun } from '../operations/steps/run-state.ts'
import type { DoorApp, DoorContext } from './door.ts'
import { instructionsFor } from './instructions.ts'
import { endPause, isLatePause } from './late-pause.ts'

const TRANSITION_OF = { running: 'start', paused: 'pause', succeeded: 'succeed', failed: 'fail', cancelled: 'cancel' } as const

export function runRoutes(app: DoorApp, context: DoorContext): void {
  app.put(
    '/door/runs/:id/state',
    { schema: { params: z.object({ id: RunId }), body: RunReport, response: { 200: Instructions } } },
    async ({ machineId, params, body }) => {
      const isTooLate = async () => body.state === 'paused' && isLatePause(context, machineId, params.id, body.reason)
      // What it took since the last look counts as well: a run whose tool was ended for memory a moment ago has not succeeded.
      if (body.state === 'succeeded' || body.state === 'failed') await context.lookAt(machineId)
      if (!(await isTooLate())) {
        await transactionWithRetry(context.db, (tx) => takeReport(context, tx, machineId, params.id, body))
        // Whoever raised it just before the pause could be seen has passed it by.
        if (await isTooLate()) await endPause(context, params.id)
      }
      return instructionsFor(context, machineId)
    },
  )
}

async function takeReport({ runtime, ledger }: DoorContext, tx: Tx, machineId: MachineId, runId: RunId, report: z.output<typeof RunReport>): Promise<void> {
  const machine = await lockMachine(tx, machineId)
  const run = await lockRun(tx, runId)
  if (run?.machine_id !== machineId) throw new AutovibeError('auth.forbidden', `The run ${runId} is not this machine's.`)
  // The Hub alone lets a parked run go on; an agent that reports late changes nothing.
  if (report.state === 'running') {
    if (machine.notice) await tx.updateTable('machines').set({ notice: null }).where('id', '=', machineId).execute()
    return
  }
  // Its machine is about to be ended for a limit, and the run with it, by that reason.
  if ((report.state === 'succeeded' || report.state === 'failed') && (await limitReached(tx, machineId)) !== null) return
  // What helps is said by the Hub, never by a machine: people paste it.
  const isForMoney = report.state === 'paused' && run.budget_id !== null && /budget/i.test(report.reason ?? '')
  const told = isForMoney && run.budget_id ? { fix: (await ledger.standing(run.budget_id, tx)).raise } : {}
  const ending = {
    ...(report.summary === null ? {} : { summary: report.summary }),
    ...(report.check_result === null ? {} : { check_result: JSON.stringify(report.check_result) }),
    ...(report.agent_reported_cost === null ? {} : { agent_reported_cost: BigInt(report.agent_reported_cost) }),
  }
  const changed = await changeRun(tx, runtime, ledger, run, TRANSITION_OF[report.state], report.reason, ending, told)
  if (changed === run || machine.state === 'stopping') return
  const paused = changed.state === 'paused'
  await setControl(tx, await changeMachine(tx, runtime, machine, paused ? 'pause' : 'rest'), paused ? 'park' : 'idle')
}
