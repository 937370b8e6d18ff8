/** Takes a claimed operation forward, step by step, until it parks, ends, or has to be undone. */
import type { AutovibeError } from '@autovibe/contract'
import { isAway, waitForSubstrate } from './away.ts'
import { handBack, holding } from './claim.ts'
import {
  type Claim,
  contextFor,
  definitionOf,
  type EngineContext,
  LostClaim,
  type OperationRow,
  orAborted,
  recordUnder,
  Stopping,
  stepError,
} from './context.ts'
import type { Ensured, Output } from './define.ts'
import { backOffMs, DO_ATTEMPTS_MAX, STEP_TIMEOUT_MS } from './limits.ts'
import { type EnsureStep, onward, park, type Reached, stepDone } from './onward.ts'
import { Staged } from './staged.ts'
import { beginUnwind, unwind } from './unwind.ts'

/** Where one turn left the operation: go on with the row, or let go of it. */
type Turn = OperationRow | 'parked' | 'ended'

/** Advances until nothing more can be done now, from `begun` if its first steps are done already. A lost claim is no error: the other Hub goes on. */
export async function advance(engine: EngineContext, claim: Claim, claimed: OperationRow, begun?: Reached): Promise<void> {
  try {
    let turn: Turn = claimed
    for (let first = begun; typeof turn !== 'string'; first = undefined) {
      if (engine.stopping?.aborted) throw new Stopping()
      turn = turn.state === 'unwinding' ? await unwind(engine, claim, turn) : await forward(engine, claim, first)
    }
  } catch (error) {
    if (error instanceof Stopping) return handBack(engine, claim)
    if (!(error instanceof LostClaim)) throw error
    engine.log.info({ operation: claim.id }, 'claim lost; another Hub goes on')
  }
}

/** All that the database alone can do, in one transaction; then the call to the outside, and with its record all that can be done after it. */
async function forward(engine: EngineContext, claim: Claim, begun?: Reached): Promise<Turn> {
  const known: Known = { row: null }
  try {
    let reached = begun ?? (await record(engine, claim, known))
    while (typeof reached === 'object' && 'call' in reached) {
      if (engine.stopping?.aborted) throw new Stopping()
      const { call, row } = reached
      // What stands is recorded: an error from here on is the call's, and not of a record whose answer was lost.
      known.row = null
      const result = await callOutside(engine, claim, row, call)
      if ('pending' in result) {
        return await recordUnder(engine, claim, (tx, current) =>
          park(engine, new Staged(tx, engine, current), result.againMs, { handle: result.pending, step_attempts: 0 }),
        )
      }
      reached = await record(engine, claim, known, (staged) => stepDone(staged, result.done))
    }
    return reached
  } catch (thrown) {
    if (thrown instanceof LostClaim || thrown instanceof Stopping) throw thrown
    return failed(engine, claim, known, stepError(thrown))
  }
}

/** The row as it was when the last record began: by it one sees whether a record whose answer was lost has been committed all the same. */
interface Known {
  row: OperationRow | null
}

/** Null when the row stands where it stood; otherwise it is gone on with from where it stands now. */
function movedOn({ row: before }: Known, now: OperationRow): Turn | null {
  if (before === null || (now.step_index === before.step_index && now.state === before.state && now.ended_at === null)) return null
  return now.ended_at === null ? now : 'ended'
}

/**
 * `first`, and as many steps after it as need nothing from outside. When one of them fails, what came before it is done again without it and stands, so that the next turn
 * begins with the one that fails.
 */
async function record(engine: EngineContext, claim: Claim, known: Known, first?: (staged: Staged) => void): Promise<Reached> {
  const progress = { steps: 0, begun: false }
  known.row = null
  const attempt = (stepsMax: number) =>
    recordUnder<Reached>(engine, claim, async (tx, row) => {
      const moved = movedOn(known, row)
      if (moved !== null) return moved
      known.row = row
      const staged = new Staged(tx, engine, row)
      first?.(staged)
      progress.begun = first !== undefined
      return onward(tx, engine, staged, stepsMax, progress)
    })
  try {
    return await attempt(Number.POSITIVE_INFINITY)
  } catch (thrown) {
    if (thrown instanceof LostClaim || (progress.steps === 0 && !progress.begun)) throw thrown
    return await attempt(progress.steps)
  }
}

function callOutside(engine: EngineContext, claim: Claim, row: OperationRow, step: EnsureStep): Promise<Ensured<Output>> {
  return holding(engine, claim, (lost) => {
    const signal = AbortSignal.any([lost, AbortSignal.timeout(step.timeoutMs ?? STEP_TIMEOUT_MS)])
    return orAborted(step.do(contextFor(engine, definitionOf(engine, row), row, signal), row.handle), signal, step.name, engine.stopping)
  })
}

/** A failed call: again later if that may help, else the way back. */
function failed(engine: EngineContext, claim: Claim, known: Known, error: AutovibeError): Promise<Turn> {
  return recordUnder<Turn>(engine, claim, async (tx, row) => {
    const moved = movedOn(known, row)
    if (moved !== null) return moved
    if (isAway(error)) return waitForSubstrate(tx, engine, row, error)
    const attempts = Math.max(1, row.step_attempts)
    const step = row.steps[row.step_index] ?? ''
    engine.log.warn({ operation: row.id, kind: row.kind, step, attempts, err: error }, 'a step failed')
    if (error.retryable && attempts < DO_ATTEMPTS_MAX) {
      const counted = row.step_attempts === 0 ? { step_attempts: 1 } : {}
      return park(engine, new Staged(tx, engine, row), backOffMs(attempts), counted)
    }
    // What is all done is never undone because its end could not be recorded.
    if (row.step_index >= row.steps.length) return park(engine, new Staged(tx, engine, row), backOffMs(attempts))
    return beginUnwind(tx, engine, row, error)
  })
}
