/** What the writer takes: a job says what must be known, then decides on the book of its batch. */
import type { BudgetId, ReservationId, RunId } from '@autovibe/contract'
import type { Book } from './book.ts'

export interface Job<T> {
  /** The budget whose chain is decided on. */
  readonly budgetId?: BudgetId
  /** The reservation that is decided on. */
  readonly reservationId?: ReservationId
  /** The run whose hand-back is decided on. */
  readonly handBackOf?: RunId | undefined
  /** What makes a second job the same as this one. */
  readonly key?: string
  /** Changes the book and answers, or throws; `Stale` asks to be called again with everything read afresh. */
  decide(book: Book): T
}

/** Thrown by a decision that must not stand on what was remembered. */
export class Stale extends Error {}
