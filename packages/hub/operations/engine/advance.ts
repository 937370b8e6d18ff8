/** Takes a claimed operation forward, step by step, until it parks, ends, or has to be undone. */
import { AutovibeError } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import { handBack, holding } from './claim.ts'
import {
  type Claim,
  contextFor,
  definitionOf,
  type EngineContext,
  LostClaim,
  leaseFrom,
  markStep,
  type OperationRow,
  orAborted,
  recordOperationEvent,
  recordUnder,
  Stopping,
  stepError,
  stepOf,
} from './context.ts'
import type { AnyStep, Output } from './define.ts'
import { backOffMs, DEATHS_MAX, DO_ATTEMPTS_MAX, PARKED_RECHECK_MS, STEP_TIMEOUT_MS } from './limits.ts'
import { beginUnwind, unwind } from './unwind.ts'
import { wake } from './wake.ts'

/** Where one turn left the operation: go on with the row, or let go of it. */
type Turn = OperationRow | 'parked' | 'ended'

/** Advances until nothing more can be done now. A lost claim is no error: the other Hub goes on. */
export async function advance(engine: EngineContext, claim: Claim, claimed: OperationRow): Promise<void> {
  try {
    let turn: Turn = claimed
    while (typeof turn !== 'string') {
      if (engine.stopping?.aborted) throw new Stopping()
      turn = turn.state === 'unwinding' ? await unwind(engine, claim, turn) : await forward(engine, claim, turn)
    }
  } catch (error) {
    if (error instanceof Stopping) return handBack(engine, claim)
    if (!(error instanceof LostClaim)) throw error
    engine.log.info({ operation: claim.id }, 'claim lost; another Hub goes on')
  }
}

async function forward(engine: EngineContext, claim: Claim, row: OperationRow): Promise<Turn> {
  // What is all done is not undone by a cancel that came late.
  if (row.step_index >= row.steps.length) return finish(engine, claim)
  const step = stepOf(definitionOf(engine, row), row, row.step_index)
  try {
    return await turnOf[step.kind](engine, claim, row, step as never)
  } catch (thrown) {
    if (thrown instanceof LostClaim || thrown instanceof Stopping) throw thrown
    return failed(engine, claim, stepError(thrown))
  }
}

const turnOf = {
  tx: (engine: EngineContext, claim: Claim, _row: OperationRow, step: AnyStep & { kind: 'tx' }): Promise<Turn> =>
    recordUnder(engine, claim, async (tx, row) => {
      if (isCancelled(engine, row)) return beginUnwind(tx, engine, row, cancelled())
      const context = contextFor(engine, definitionOf(engine, row), row, new AbortController().signal)
      return stepDone(tx, engine, row, await step.do(context, tx))
    }),

  ensure: async (engine: EngineContext, claim: Claim, before: OperationRow, step: AnyStep & { kind: 'ensure' }): Promise<Turn> => {
    // The attempt is on record before the call: undo must cover a step that may have acted.
    const row = await recordUnder(engine, claim, async (tx, current) => {
      if (isCancelled(engine, current)) return beginUnwind(tx, engine, current, cancelled())
      if (current.step_attempts >= DEATHS_MAX) return beginUnwind(tx, engine, current, deadly(step.name))
      await markStep(tx, engine, current, current.step_index, 'running')
      return update(tx, engine, current, { step_attempts: current.step_attempts + 1, step_started_at: current.step_started_at ?? engine.runtime.now() })
    })
    if (row.state === 'unwinding') return row
    const result = await holding(engine, claim, (lost) => {
      const timeout = AbortSignal.timeout(step.timeoutMs ?? STEP_TIMEOUT_MS)
      const signal = AbortSignal.any([lost, timeout])
      return orAborted(step.do(contextFor(engine, definitionOf(engine, row), row, signal), before.handle), signal, step.name, engine.stopping)
    })
    return recordUnder(engine, claim, async (tx, current) => {
      if ('done' in result) return stepDone(tx, engine, current, result.done)
      await park(tx, engine, current, result.againMs, { handle: JSON.stringify(result.pending), step_attempts: 0 })
      return 'parked'
    })
  },

  until: (engine: EngineContext, claim: Claim, _row: OperationRow, step: AnyStep & { kind: 'until' }): Promise<Turn> =>
    recordUnder(engine, claim, async (tx, row) => {
      if (isCancelled(engine, row)) return beginUnwind(tx, engine, row, cancelled())
      const context = contextFor(engine, definitionOf(engine, row), row, new AbortController().signal)
      const output = await step.ready(context, tx)
      if (output !== null) return stepDone(tx, engine, row, output)
      const startedAt = row.step_started_at ?? engine.runtime.now()
      const leftMs = startedAt.getTime() + step.deadlineMs - engine.runtime.now().getTime()
      if (leftMs > 0) {
        if (!row.step_started_at) await markStep(tx, engine, row, row.step_index, 'running')
        await park(tx, engine, row, Math.min(leftMs, PARKED_RECHECK_MS), { step_started_at: startedAt })
        return 'parked'
      }
      await recordOperationEvent(tx, engine, row, 'operation.deadline', { kind: row.kind, step: step.name, deadline_ms: step.deadlineMs })
      if (step.atDeadline) return stepDone(tx, engine, row, await step.atDeadline(context, tx))
      return beginUnwind(tx, engine, row, new AutovibeError('operation.deadline', `The step "${step.name}" did not end within ${step.deadlineMs / 1000} s.`))
    }),
}

/** Read under the operation's lock, so that not one step more is begun after it was asked for. */
const isCancelled = (engine: EngineContext, row: OperationRow): boolean => row.cancel_requested_at !== null && definitionOf(engine, row).cancellable
const cancelled = () => new AutovibeError('operation.cancelled', 'Cancelled on request.')
const deadly = (step: string) => new AutovibeError('internal', `The Hub died ${DEATHS_MAX} times in the step "${step}".`)

async function stepDone(tx: Tx, engine: EngineContext, row: OperationRow, output: Output): Promise<OperationRow> {
  await markStep(tx, engine, row, row.step_index, 'done')
  const name = row.steps[row.step_index] ?? ''
  return update(tx, engine, row, {
    step_index: row.step_index + 1,
    outputs: JSON.stringify({ ...row.outputs, [name]: output }),
    step_attempts: 0,
    step_started_at: null,
    handle: null,
  })
}

/** A failed call: again later if that may help, else the way back. */
function failed(engine: EngineContext, claim: Claim, error: AutovibeError): Promise<Turn> {
  return recordUnder<Turn>(engine, claim, async (tx, row) => {
    const attempts = Math.max(1, row.step_attempts)
    const step = row.steps[row.step_index] ?? ''
    engine.log.warn({ operation: row.id, kind: row.kind, step, attempts, err: error }, 'a step failed')
    if (error.retryable && attempts < DO_ATTEMPTS_MAX) {
      const counted = row.step_attempts === 0 ? { step_attempts: 1 } : {}
      await park(tx, engine, row, backOffMs(attempts), counted)
      return 'parked'
    }
    return beginUnwind(tx, engine, row, error)
  })
}

function finish(engine: EngineContext, claim: Claim): Promise<Turn> {
  return recordUnder<Turn>(engine, claim, async (tx, row) => {
    await update(tx, engine, row, { state: 'done', ended_at: engine.runtime.now(), lease_owner: null, lease_expires_at: null, exclusive: false })
    await recordOperationEvent(tx, engine, row, 'operation.finished', { kind: row.kind, state: 'done' })
    if (row.machine_id) await wake(tx, row.machine_id)
    return 'ended'
  })
}

async function park(tx: Tx, engine: EngineContext, row: OperationRow, afterMs: number, more: Partial<Record<keyof OperationRow, unknown>>): Promise<void> {
  const wake_at = new Date(engine.runtime.now().getTime() + afterMs)
  await tx
    .updateTable('operations')
    .set({ ...(more as object), wake_at, lease_owner: null, lease_expires_at: null })
    .where('id', '=', row.id)
    .execute()
}

async function update(tx: Tx, engine: EngineContext, row: OperationRow, change: Partial<Record<keyof OperationRow, unknown>>): Promise<OperationRow> {
  return tx
    .updateTable('operations')
    .set({ lease_expires_at: leaseFrom(engine), ...(change as object) })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow()
}
