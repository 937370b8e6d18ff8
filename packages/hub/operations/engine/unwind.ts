/** The way back: undoes the step in flight and every step before it, last first; what cannot be undone is `stuck`, never dropped. */
import { AutovibeError } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import { isAway, waitForSubstrate } from './away.ts'
import { holding } from './claim.ts'
import {
  type Claim,
  contextFor,
  definitionOf,
  type EngineContext,
  LostClaim,
  type OperationRow,
  orAborted,
  recordOperationEvent,
  recordUnder,
  Stopping,
  stepError,
  stepMarks,
  stepOf,
  updateRow,
} from './context.ts'
import { backOffMs, DEATHS_MAX, STEP_TIMEOUT_MS, UNDO_ATTEMPTS_MAX } from './limits.ts'
import { wake } from './wake.ts'

/** Turns an operation round at the step in flight, which may or may not have acted. */
export async function beginUnwind(tx: Tx, engine: EngineContext, row: OperationRow, error: AutovibeError): Promise<OperationRow> {
  const index = Math.min(row.step_index, row.steps.length - 1)
  const turned = {
    state: 'unwinding',
    step_index: index,
    step_attempts: 0,
    step_started_at: null,
    error: JSON.stringify({ code: error.code, message: error.message, fix: error.fix ?? null, step: row.steps[index] ?? null }),
  }
  return updateRow(tx, engine, row, turned, ...(row.step_index < row.steps.length ? stepMarks(tx, engine, row, index, 'failed') : []))
}

/** Undoes one step. `parked` when its undo failed and will be tried again, or is stuck. */
export async function unwind(engine: EngineContext, claim: Claim, row: OperationRow): Promise<OperationRow | 'parked' | 'ended'> {
  if (row.step_index < 0) return finish(engine, claim)
  const definition = definitionOf(engine, row)
  const step = stepOf(definition, row, row.step_index)
  try {
    if (step.kind === 'ensure' && step.undo) {
      const undo = step.undo
      // A call that kills its Hub each time is an undo that fails each time.
      if (row.step_attempts >= Math.max(DEATHS_MAX, UNDO_ATTEMPTS_MAX))
        return undoFailed(engine, claim, true, new AutovibeError('internal', 'The Hub died in this undo again and again.'))
      const current = await recordUnder(engine, claim, async (tx, latest) => {
        return updateRow(tx, engine, latest, { step_attempts: latest.step_attempts + 1 }, ...stepMarks(tx, engine, latest, latest.step_index, 'undoing'))
      })
      await holding(engine, claim, (lost) => {
        const signal = AbortSignal.any([lost, AbortSignal.timeout(step.timeoutMs ?? STEP_TIMEOUT_MS)])
        return orAborted(undo(contextFor(engine, definition, current, signal)), signal, step.name, engine.stopping)
      })
    }
    return await recordUnder(engine, claim, async (tx, latest) => {
      if (step.kind !== 'ensure' && step.undo) await step.undo(contextFor(engine, definition, latest, new AbortController().signal), tx)
      const earlier = { step_index: latest.step_index - 1, step_attempts: 0 }
      return updateRow(tx, engine, latest, earlier, ...stepMarks(tx, engine, latest, latest.step_index, 'undone'))
    })
  } catch (thrown) {
    if (thrown instanceof LostClaim || thrown instanceof Stopping) throw thrown
    return undoFailed(engine, claim, step.kind === 'ensure', stepError(thrown))
  }
}

function undoFailed(engine: EngineContext, claim: Claim, counted: boolean, error: AutovibeError): Promise<'parked'> {
  return recordUnder<'parked'>(engine, claim, async (tx, row) => {
    if (isAway(error)) return waitForSubstrate(tx, engine, row, error)
    const attempts = row.step_attempts + (counted ? 0 : 1)
    const step = row.steps[row.step_index] ?? ''
    const stuck = attempts >= UNDO_ATTEMPTS_MAX
    engine.log.error({ operation: row.id, kind: row.kind, step, attempts, err: error }, stuck ? 'an operation is stuck' : 'an undo failed')
    await tx
      .updateTable('operations')
      .set({
        step_attempts: attempts,
        wake_at: new Date(engine.runtime.now().getTime() + backOffMs(attempts)),
        lease_owner: null,
        lease_expires_at: null,
        ...(stuck ? { state: 'stuck' as const } : {}),
      })
      .where('id', '=', row.id)
      .execute()
    if (stuck) {
      await recordOperationEvent(tx, engine, row, 'operation.stuck', {
        kind: row.kind,
        step,
        code: error.code,
        message: error.message,
        fix: `autovibe operation show ${row.id}`,
      })
    }
    return 'parked'
  })
}

function finish(engine: EngineContext, claim: Claim): Promise<'ended'> {
  return recordUnder<'ended'>(engine, claim, async (tx, row) => {
    const state = row.error?.code === 'operation.cancelled' ? 'cancelled' : 'failed'
    await tx
      .updateTable('operations')
      .set({ state, ended_at: engine.runtime.now(), lease_owner: null, lease_expires_at: null, exclusive: false, step_index: 0 })
      .where('id', '=', row.id)
      .execute()
    await recordOperationEvent(tx, engine, row, 'operation.finished', {
      kind: row.kind,
      state,
      code: row.error?.code ?? null,
      message: row.error?.message ?? null,
    })
    if (row.machine_id) await wake(tx, row.machine_id)
    return 'ended'
  })
}
