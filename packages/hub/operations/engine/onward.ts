/** The steps of an operation that the database alone can do, one after the other in one transaction, up to the next call to the outside. */
import { AutovibeError } from '@autovibe/contract'
import { along } from '../../database/along.ts'
import type { Tx } from '../../database/database.ts'
import { eventRows } from '../../database/events.ts'
import {
  contextFor,
  definitionOf,
  type EngineContext,
  type OperationRow,
  operationEvent,
  recordOperationEvent,
  stepMarks,
  stepOf,
  updateRow,
} from './context.ts'
import type { AnyStep, Output } from './define.ts'
import { DEATHS_MAX, PARKED_RECHECK_MS } from './limits.ts'
import { beginUnwind } from './unwind.ts'
import { wake } from './wake.ts'

export type EnsureStep = AnyStep & { kind: 'ensure' }
/** `call`: its attempt is on record, and it can be made when the transaction has been committed. A row: go on with it in a transaction of its own. */
export type Reached = OperationRow | { readonly call: EnsureStep; readonly row: OperationRow } | 'parked' | 'ended'

/** Takes at most `stepsMax` steps; `progress.steps` counts those that are done, also when the next one throws. */
export async function onward(tx: Tx, engine: EngineContext, first: OperationRow, stepsMax: number, progress: { steps: number }): Promise<Reached> {
  let row = first
  for (progress.steps = 0; progress.steps < stepsMax; progress.steps++) {
    // What is all done is not undone by a cancel that came late.
    if (row.step_index >= row.steps.length) return finish(tx, engine, row)
    // Read under the operation's lock, so that not one step more is begun after it was asked for.
    if (row.cancel_requested_at !== null && definitionOf(engine, row).cancellable) {
      return beginUnwind(tx, engine, row, new AutovibeError('operation.cancelled', 'Cancelled on request.'))
    }
    const step = stepOf(definitionOf(engine, row), row, row.step_index)
    if (step.kind === 'ensure') return beginCall(tx, engine, row, step)
    const output = step.kind === 'tx' ? await step.do(contextOf(engine, row), tx) : await awaited(tx, engine, row, step)
    if (output === 'parked') return output
    if (output === 'late') {
      return beginUnwind(tx, engine, row, new AutovibeError('operation.deadline', `The step "${step.name}" did not end within ${secondsOf(step)} s.`))
    }
    row = await stepDone(tx, engine, row, output)
  }
  return row
}

const contextOf = (engine: EngineContext, row: OperationRow) => contextFor(engine, definitionOf(engine, row), row, new AbortController().signal)
const secondsOf = (step: AnyStep): number => (step.kind === 'until' ? step.deadlineMs / 1000 : 0)

/** The attempt is on record before the call: undo must cover a step that may have acted. */
async function beginCall(tx: Tx, engine: EngineContext, row: OperationRow, step: EnsureStep): Promise<Reached> {
  if (row.step_attempts >= DEATHS_MAX) {
    return beginUnwind(tx, engine, row, new AutovibeError('internal', `The Hub died ${DEATHS_MAX} times in the step "${step.name}".`))
  }
  const begun = { step_attempts: row.step_attempts + 1, step_started_at: row.step_started_at ?? engine.runtime.now() }
  return { call: step, row: await updateRow(tx, engine, row, begun, ...stepMarks(tx, engine, row, row.step_index, 'running')) }
}

async function awaited(tx: Tx, engine: EngineContext, row: OperationRow, step: AnyStep & { kind: 'until' }): Promise<Output | 'parked' | 'late'> {
  const context = contextOf(engine, row)
  const output: Output = await step.ready(context, tx)
  if (output !== null) return output
  const startedAt = row.step_started_at ?? engine.runtime.now()
  const leftMs = startedAt.getTime() + step.deadlineMs - engine.runtime.now().getTime()
  if (leftMs > 0) {
    const marks = row.step_started_at ? [] : stepMarks(tx, engine, row, row.step_index, 'running')
    return park(along(tx, ...marks), engine, row, Math.min(leftMs, PARKED_RECHECK_MS), { step_started_at: startedAt })
  }
  await recordOperationEvent(tx, engine, row, 'operation.deadline', { kind: row.kind, step: step.name, deadline_ms: step.deadlineMs })
  return step.atDeadline ? step.atDeadline(context, tx) : 'late'
}

/** Moves on to the next step, with what this one returned. */
export async function stepDone(tx: Tx, engine: EngineContext, row: OperationRow, output: Output): Promise<OperationRow> {
  const name = row.steps[row.step_index] ?? ''
  const next = {
    step_index: row.step_index + 1,
    outputs: JSON.stringify({ ...row.outputs, [name]: output }),
    step_attempts: 0,
    step_started_at: null,
    handle: null,
  }
  return updateRow(tx, engine, row, next, ...stepMarks(tx, engine, row, row.step_index, 'done'))
}

async function finish(tx: Tx, engine: EngineContext, row: OperationRow): Promise<'ended'> {
  const ended = { state: 'done', ended_at: engine.runtime.now(), lease_owner: null, lease_expires_at: null, exclusive: false }
  await updateRow(tx, engine, row, ended, eventRows(tx, engine.runtime, [operationEvent(row, 'operation.finished', { kind: row.kind, state: 'done' })]))
  if (row.machine_id) await wake(tx, row.machine_id)
  return 'ended'
}

/** Lets go of the operation until it is woken, or for so many ms. */
export async function park(
  tx: Tx,
  engine: EngineContext,
  row: OperationRow,
  afterMs: number,
  more: Partial<Record<keyof OperationRow, unknown>>,
): Promise<'parked'> {
  const wake_at = new Date(engine.runtime.now().getTime() + afterMs)
  await tx
    .updateTable('operations')
    .set({ ...(more as object), wake_at, lease_owner: null, lease_expires_at: null })
    .where('id', '=', row.id)
    .execute()
  return 'parked'
}
