/** Calls that a run makes to hand its work back: drawn from what was set aside for it, and what they do not use goes back there. */
import { formatUsd, type RunId } from '@autovibe/contract'
import type { Book } from './book.ts'
import { closingHolder, runOfClosing } from './holders.ts'
import { type Job, Stale } from './job.ts'
import type { Hold } from './known.ts'
import { BudgetRefusal, type Reservation, type Reserve } from './ledger.ts'

/** Holds an amount out of what the run has set aside; nothing else can have it, and nothing more is held on any link. */
export function drawJob(request: Reserve, runId: RunId): Job<Reservation> {
  const { key, budgetId } = request
  return {
    key,
    budgetId,
    handBackOf: runId,
    decide(book) {
      const repeated = book.holdOfKey(key)
      if (repeated) return answerOf(repeated)
      const chain = book.chain(budgetId)
      const kept = book.handBack(runId)
      const available = kept?.budgetIds[0] === budgetId && book.isOpen(kept) ? kept.amount : 0n
      const amount = typeof request.amount === 'function' ? request.amount(available) : request.amount
      if (amount < 0n) throw new RangeError('a negative amount cannot be reserved')
      if (kept && amount > 0n && amount <= available) {
        book.resize(kept, -amount)
        return answerOf(book.open(chain, { ...request, amount, holder: closingHolder(runId) }))
      }
      if (!book.isFresh) throw new Stale()
      throw refuse(runId, available, amount)
    },
  }
}

/** Gives what a closing call did not use back to what is set aside; once that is released, it is as free as anything else. */
export function putBack(book: Book, hold: Hold, rest: bigint): void {
  const runId = runOfClosing(hold.holder)
  const kept = runId === undefined ? undefined : book.handBack(runId)
  if (kept && rest > 0n && book.isOpen(kept)) book.resize(kept, rest)
}

const answerOf = ({ id, budgetIds, amount }: Hold): Reservation => ({ id, budgetId: budgetIds[0], amount })

function refuse(runId: RunId, available: bigint, wanted: bigint): BudgetRefusal {
  const what = `what was set aside of the budget of the run ${runId} for handing its work back`
  const message =
    available === 0n ? `Nothing is left of ${what}.` : `This needs up to ${formatUsd(wanted)}, but only ${formatUsd(available)} is left of ${what}.`
  return new BudgetRefusal(available === 0n ? 'budget.exhausted' : 'budget.insufficient', message, {
    fix: `Raise it: autovibe budget set ${runId} AMOUNT`,
    isHeldByOthers: false,
  })
}
