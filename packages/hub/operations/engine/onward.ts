/** The steps of an operation that the database alone can do, one after the other in one transaction, up to the next call to the outside. */
import { AutovibeError } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import { contextFor, definitionOf, type EngineContext, type OperationRow, recordOperationEvent, stepOf } from './context.ts'
import type { AnyStep, Output } from './define.ts'
import { DEATHS_MAX, PARKED_RECHECK_MS } from './limits.ts'
import type { RowChange, Staged } from './staged.ts'
import { beginUnwind } from './unwind.ts'

export type EnsureStep = AnyStep & { kind: 'ensure' }
/** `call`: its attempt is on record, and it can be made when the transaction has been committed. A row: go on with it in a transaction of its own. */
export type Reached = OperationRow | { readonly call: EnsureStep; readonly row: OperationRow } | 'parked' | 'ended'

/** Takes at most `stepsMax` steps; `progress.steps` counts those that are done, also when the next one throws. All of it is written when this returns. */
export async function onward(tx: Tx, engine: EngineContext, staged: Staged, stepsMax: number, progress: { steps: number }): Promise<Reached> {
  for (progress.steps = 0; progress.steps < stepsMax; progress.steps++) {
    const { row } = staged
    // What is all done is not undone by a cancel that came late.
    if (row.step_index >= row.steps.length) return finish(engine, staged)
    // Read under the operation's lock, so that not one step more is begun after it was asked for.
    if (row.cancel_requested_at !== null && definitionOf(engine, row).cancellable) {
      return beginUnwind(tx, engine, await staged.write(), new AutovibeError('operation.cancelled', 'Cancelled on request.'))
    }
    const step = stepOf(definitionOf(engine, row), row, row.step_index)
    if (step.kind === 'ensure') return beginCall(tx, engine, staged, step)
    const output = step.kind === 'tx' ? await step.do(contextOf(engine, row), tx) : await awaited(tx, engine, staged, step)
    if (output === 'parked') return output
    if (output === 'late') {
      const late = new AutovibeError('operation.deadline', `The step "${step.name}" did not end within ${secondsOf(step)} s.`)
      return beginUnwind(tx, engine, await staged.write(), late)
    }
    stepDone(staged, output)
  }
  return staged.write()
}

const contextOf = (engine: EngineContext, row: OperationRow) => contextFor(engine, definitionOf(engine, row), row, new AbortController().signal)
const secondsOf = (step: AnyStep): number => (step.kind === 'until' ? step.deadlineMs / 1000 : 0)

/** The attempt is on record before the call: undo must cover a step that may have acted. */
async function beginCall(tx: Tx, engine: EngineContext, staged: Staged, step: EnsureStep): Promise<Reached> {
  const { row } = staged
  if (row.step_attempts >= DEATHS_MAX) {
    const killed = new AutovibeError('internal', `The Hub died ${DEATHS_MAX} times in the step "${step.name}".`)
    return beginUnwind(tx, engine, await staged.write(), killed)
  }
  staged.mark('running')
  staged.change({ step_attempts: row.step_attempts + 1, step_started_at: row.step_started_at ?? engine.runtime.now() })
  return { call: step, row: await staged.write() }
}

async function awaited(tx: Tx, engine: EngineContext, staged: Staged, step: AnyStep & { kind: 'until' }): Promise<Output | 'parked' | 'late'> {
  const { row } = staged
  const context = contextOf(engine, row)
  const output: Output = await step.ready(context, tx)
  if (output !== null) return output
  const startedAt = row.step_started_at ?? engine.runtime.now()
  const leftMs = startedAt.getTime() + step.deadlineMs - engine.runtime.now().getTime()
  if (leftMs > 0) {
    if (row.step_started_at === null) staged.mark('running')
    staged.change({ step_started_at: startedAt })
    return park(engine, staged, Math.min(leftMs, PARKED_RECHECK_MS))
  }
  await recordOperationEvent(tx, engine, row, 'operation.deadline', { kind: row.kind, step: step.name, deadline_ms: step.deadlineMs })
  return step.atDeadline ? step.atDeadline(context, tx) : 'late'
}

/** Moves on to the next step, with what this one returned. */
export function stepDone(staged: Staged, output: Output): void {
  const { row } = staged
  const name = row.steps[row.step_index] ?? ''
  staged.mark('done')
  staged.change({
    step_index: row.step_index + 1,
    outputs: { ...row.outputs, [name]: output },
    step_attempts: 0,
    step_started_at: null,
    handle: null,
  })
}

async function finish(engine: EngineContext, staged: Staged): Promise<'ended'> {
  staged.change({ state: 'done', ended_at: engine.runtime.now(), lease_owner: null, lease_expires_at: null, exclusive: false })
  staged.tell('operation.finished', { kind: staged.row.kind, state: 'done' })
  await staged.write({ wakesMachine: true })
  return 'ended'
}

/** Lets go of the operation until it is woken, or for so many ms. */
export async function park(engine: EngineContext, staged: Staged, afterMs: number, more: RowChange = {}): Promise<'parked'> {
  staged.change({ ...more, wake_at: new Date(engine.runtime.now().getTime() + afterMs), lease_owner: null, lease_expires_at: null })
  await staged.write()
  return 'parked'
}
