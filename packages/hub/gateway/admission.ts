/** Lets a call in: finds the `max_tokens` that is affordable and holds its bound, waiting while only other calls are in the way. */
import { AutovibeError, type BudgetId } from '@autovibe/contract'
import type { CallBound } from '@autovibe/core/budgets/bound.ts'
import { clamp } from '@autovibe/core/budgets/clamp.ts'
import type { Database } from '../database/database.ts'
import type { Ledger, Reservation } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import type { Bell } from './bell.ts'
import { headroomOf } from './headroom.ts'
import { LIMITS } from './limits.ts'

export interface AdmissionTools {
  readonly db: Database
  readonly ledger: Ledger
  readonly runtime: Runtime
  /** Rings whenever a call of this gateway gives money back. */
  readonly moneyBack: Bell
}

export interface AdmissionRequest {
  readonly key: string
  readonly holder: string
  readonly budgetId: BudgetId
  readonly bound: CallBound
  readonly maxTokens: bigint
  readonly thinkingTokens: bigint | null
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

export interface Admission {
  readonly reservation: Reservation
  readonly maxTokens: bigint
}

/** Money may also come back without the bell: from another Hub, or by a raised limit. */
const LOOK_AGAIN_MS = 1_000

/** Holds the bound of the call, or throws `budget.insufficient` or `budget.exhausted`; `request.rate_limited` after too long a wait for other calls. */
export async function admit(tools: AdmissionTools, request: AdmissionRequest): Promise<Admission> {
  const deadlineMs = tools.runtime.now().getTime() + LIMITS.admissionMs
  for (;;) {
    const answer = clamp({ ...request, availableNanoUsd: await tools.ledger.available(request.budgetId) })
    const blockedByOthers = async () => (await headroomOf(tools.db, request.budgetId)) >= answer.holdNanoUsd
    if (answer.fits || !(await blockedByOthers())) {
      try {
        // Reserving what does not fit gets the ledger's own refusal, with its reason and its event; or luck, if a hold came back meanwhile.
        const hold = { key: request.key, budgetId: request.budgetId, amount: answer.holdNanoUsd, holder: request.holder, leaseMs: LIMITS.leaseMs }
        const reservation = await tools.ledger.reserve(hold)
        return { reservation, maxTokens: answer.fits ? answer.maxTokens : answer.floorTokens }
      } catch (error) {
        const lostRace = error instanceof AutovibeError && error.code.startsWith('budget.') && (await blockedByOthers())
        if (!lostRace) throw error
        // Somebody else got in first, so this loop makes progress as a whole.
        if (answer.fits && !request.signal.aborted && tools.runtime.now().getTime() < deadlineMs) continue
      }
    }
    if (request.signal.aborted) throw new AutovibeError('request.invalid', 'The client has gone.')
    if (tools.runtime.now().getTime() >= deadlineMs) {
      throw new AutovibeError('request.rate_limited', 'All that is left of the budget is held by other calls under way.', {
        fix: 'Try again when they have ended.',
      })
    }
    await tools.moneyBack.wait(LOOK_AGAIN_MS, request.signal)
  }
}
