/** Lets a call in: holds the bound of the `max_tokens` that is affordable, waiting while only other calls are in the way. */
import { AutovibeError, type BudgetId, type RunId } from '@autovibe/contract'
import type { CallBound } from '@autovibe/core/budgets/bound.ts'
import { type ClampAnswer, clamp, wantsTighterBound } from '@autovibe/core/budgets/clamp.ts'
import { BudgetRefusal, type Ledger, type Reservation, type Subject } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import type { Bell } from './bell.ts'
import { LIMITS } from './limits.ts'

export interface AdmissionTools {
  readonly ledger: Ledger
  readonly runtime: Runtime
  /** Rings whenever a call of this gateway gives money back. */
  readonly moneyBack: Bell
}

export interface AdmissionRequest {
  readonly key: string
  readonly holder: string
  readonly subject: Subject
  readonly budgetId: BudgetId
  /** The run that hands its work back, where the call is to be paid from what was set aside for that. */
  readonly handBackOf: RunId | undefined
  readonly bound: CallBound
  /** Asks for a tighter bound, once and only when this one leaves too little; null when there is none. */
  readonly tighten: () => Promise<CallBound | null>
  readonly maxTokens: bigint
  readonly thinkingTokens: bigint | null
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

export interface Admission {
  readonly reservation: Reservation
  readonly maxTokens: bigint
}

/** Breaks off a decision of the ledger, which then holds nothing: the provider is asked outside of it. */
class Cramped extends AutovibeError {
  constructor() {
    super('budget.insufficient', 'The bound of the input leaves too little for an answer.')
  }
}

/** Money may also come back without the bell, by a raised limit. */
const LOOK_AGAIN_MS = 1_000

/** Holds the bound of the call, or throws the ledger's refusal; `request.rate_limited` after too long a wait for other calls. */
export async function admit({ ledger, runtime, moneyBack }: AdmissionTools, request: AdmissionRequest): Promise<Admission> {
  const { key, budgetId, holder, subject, signal } = request
  let { bound } = request
  let mayTighten = true
  const deadlineMs = runtime.now().getTime() + LIMITS.admissionMs
  for (;;) {
    let answer: ClampAnswer | undefined
    try {
      const reservation = await ledger.reserve({
        key,
        budgetId,
        holder,
        subject,
        handBackOf: request.handBackOf,
        leaseMs: LIMITS.leaseMs,
        // Decided where the money is: between what is seen and what is held nobody gets in. What does not fit is refused with its reason.
        amount: (availableNanoUsd) => {
          if (mayTighten && wantsTighterBound({ ...request, bound, availableNanoUsd })) throw new Cramped()
          answer = clamp({ ...request, bound, availableNanoUsd })
          return answer.holdNanoUsd
        },
      })
      return { reservation, maxTokens: answer?.fits ? answer.maxTokens : request.maxTokens }
    } catch (error) {
      if (error instanceof Cramped) {
        mayTighten = false
        bound = (await request.tighten()) ?? bound
        continue
      }
      if (!(error instanceof BudgetRefusal && error.isHeldByOthers)) throw error
    }
    if (signal.aborted) throw new AutovibeError('request.invalid', 'The client has gone.')
    if (runtime.now().getTime() >= deadlineMs) {
      throw new AutovibeError('request.rate_limited', 'All that is left of the budget is held by other calls under way.', {
        fix: 'Try again when they have ended.',
      })
    }
    await moneyBack.wait(LOOK_AGAIN_MS, signal)
  }
}
