/** Changes the state of a run, with what that brings along: steps cut short, and at its end the closed budget. */
import { AutovibeError, type Json, type RunId } from '@autovibe/contract'
import { isRunOpen, nextRunState, type RunTransition } from '@autovibe/core/runs/transitions.ts'
import type { Selectable } from 'kysely'
import type { Tx } from '../../database/database.ts'
import { recordEvent } from '../../database/events.ts'
import type { RunsTable } from '../../database/schema.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import type { Runtime } from '../../runtime.ts'
import { wake } from '../engine/wake.ts'
import { interruptSteps } from './interrupted-steps.ts'
import { startClock, stopClock } from './run-clock.ts'

export type RunRow = Selectable<RunsTable>
type RunEnding = Partial<Pick<RunRow, 'summary' | 'agent_reported_cost'>> & { check_result?: string | null }

export async function lockRun(tx: Tx, runId: RunId): Promise<RunRow | null> {
  return (await tx.selectFrom('runs').selectAll().where('id', '=', runId).forNoKeyUpdate().executeTakeFirst()) ?? null
}

/** Throws `operation.cancelled` for a run that ended before its machine got to it: nothing may be granted to it any more. */
export async function assertOpen(tx: Tx, runId: RunId): Promise<void> {
  const run = await lockRun(tx, runId)
  if (!run || run.ended_at) throw new AutovibeError('operation.cancelled', `The run ${runId} ended before it began.`)
}

/** Moves the run on; returns the row as it then is. `told` is said in the event besides the states and the reason. A change that is not possible from here (late, repeated) changes nothing. */
export async function changeRun(
  tx: Tx,
  runtime: Runtime,
  ledger: Ledger,
  run: RunRow,
  transition: RunTransition,
  reason: string | null,
  ending: RunEnding = {},
  told: Record<string, Json> = {},
): Promise<RunRow> {
  const state = nextRunState(run.state, transition)
  if (state === null) return run
  const now = runtime.now()
  const changed = await tx
    .updateTable('runs')
    .set({
      state,
      state_reason: reason,
      ...ending,
      ...(state === 'running' ? { started_at: run.started_at ?? now, winding_down_at: null } : {}),
      ...(isRunOpen(state) ? {} : { ended_at: now }),
    })
    .where('id', '=', run.id)
    .returningAll()
    .executeTakeFirstOrThrow()
  if (state === 'running') await startClock(tx, runtime, run.id)
  else {
    await stopClock(tx, runtime, run.id)
    await interruptSteps(tx, runtime, changed)
  }
  if (!isRunOpen(state) && run.budget_id) await ledger.closeBudget(tx, run.budget_id)
  const data: Record<string, Json> = { from: run.state, to: state, reason, ...told }
  await recordEvent(tx, runtime, { type: 'run.state_changed', project_id: run.project_id, machine_id: run.machine_id, run_id: run.id, data })
  await wake(tx, run.machine_id)
  return changed
}

/** The run that the machine works on or waits with, locked; null when there is none. Lock the machine first. */
export async function openRunOf(tx: Tx, machineId: RunRow['machine_id']): Promise<RunRow | null> {
  const run = await tx.selectFrom('runs').selectAll().where('machine_id', '=', machineId).where('ended_at', 'is', null).forNoKeyUpdate().executeTakeFirst()
  return run ?? null
}

/** Ends the machine's open run, if it has one. */
export async function endOpenRun(
  tx: Tx,
  runtime: Runtime,
  ledger: Ledger,
  machineId: RunRow['machine_id'],
  transition: 'fail' | 'cancel',
  reason: string,
): Promise<void> {
  const run = await openRunOf(tx, machineId)
  if (run) await changeRun(tx, runtime, ledger, run, transition, reason)
}
