/** What the writer is asked to do: each job says what must be known, then decides on the book of its batch. */
import { AutovibeError, type BudgetId, formatUsd, type ReservationId, type UsageEventId } from '@autovibe/contract'
import { availableOf, headroomOf, type Links, leftOf, tightestOf } from '@autovibe/core/budgets/account.ts'
import type { Book } from './book.ts'
import { describeLink, type Link, subjectOf } from './chain.ts'
import { drawJob, putBack } from './hand-back-jobs.ts'
import { type Job, Stale } from './job.ts'
import type { Hold, LiveLink } from './known.ts'
import { BudgetRefusal, type Consumption, type Reservation, type Reserve } from './ledger.ts'

/** Holds an amount; a key that was used before gives the first answer. */
export function reserveJob(request: Reserve): Job<Reservation> {
  const { key, budgetId } = request
  if (request.handBackOf !== undefined) return drawJob(request, request.handBackOf)
  return {
    key,
    budgetId,
    decide(book) {
      const repeated = book.holdOfKey(key)
      if (repeated) return answerOf(repeated)
      const chain = book.chain(budgetId)
      const available = availableOf(chain)
      const amount = typeof request.amount === 'function' ? request.amount(available) : request.amount
      if (amount < 0n) throw new RangeError('a negative amount cannot be reserved')
      if (amount <= available && chain.every((link) => !link.isClosed && !link.isFrozen)) return answerOf(book.open(chain, { ...request, amount }))
      if (!book.isFresh) throw new Stale()
      throw refuse(book, chain, amount)
    },
  }
}

/** Settles an open hold and gives the rest back; a settled one answers with its usage event. */
export function settleJob(reservationId: ReservationId, consumption: Consumption): Job<UsageEventId> {
  return {
    reservationId,
    decide(book) {
      if (consumption.amount < 0n) throw new RangeError('a negative amount cannot be settled')
      const hold = found(book, reservationId)
      if (hold.state === 'open') {
        assertResource(book, hold.budgetIds[0], consumption)
        book.settle(hold, consumption, consumption.amount)
        putBack(book, hold, hold.amount - consumption.amount)
      }
      if (hold.usageEventId === null) {
        throw new AutovibeError('conflict.state', `The reservation ${reservationId} was released, so nothing can be settled on it.`)
      }
      return hold.usageEventId
    },
  }
}

/** Gives an open hold back whole; one that has ended stays as it is. */
export function releaseJob(reservationId: ReservationId): Job<void> {
  return {
    reservationId,
    decide(book) {
      const hold = found(book, reservationId)
      if (hold.state !== 'open') return
      book.release(hold)
      putBack(book, hold, hold.amount)
    },
  }
}

/** Settles a hold whose lease ran out by `now` at its full amount; answers whether it did. */
export function expireJob(reservationId: ReservationId, now: Date): Job<boolean> {
  return {
    reservationId,
    decide(book) {
      const hold = found(book, reservationId)
      // What is remembered of a lease may be old; the commit asks the row.
      if (hold.state !== 'open' || (book.isFresh && hold.leaseExpiresAt > now)) return false
      const [link] = book.chain(hold.budgetIds[0])
      // A hold of the organisation itself belongs to no project, so no usage event can stand for it; the ledger rows do.
      const consumption = hold.subject && {
        ...hold.subject,
        resource: link.resource,
        amount: hold.amount,
        quality: 'estimated' as const,
        cost: link.resource === 'money' ? hold.amount : 0n,
        detail: { expired: true, holder: hold.holder },
      }
      book.settle(hold, consumption, hold.amount, now)
      return true
    },
  }
}

/** Begins the next period of a budget whose period has ended, and of all above it; a decision on its chain in the meantime has done so already. */
export function rollOverJob(budgetId: BudgetId): Job<void> {
  return { budgetId, decide: (book) => void book.chain(budgetId) }
}

/** What a column of balances holds. */
const MAX_BALANCE = 2n ** 63n - 1n

/** Posts a consumption that nothing was held for. It may pass the limit: it has happened. */
export function chargeJob(key: string, consumption: Consumption, budgetId: BudgetId): Job<UsageEventId> {
  return {
    key,
    budgetId,
    decide(book) {
      if (consumption.amount < 0n) throw new RangeError('a negative amount cannot be charged')
      assertResource(book, budgetId, consumption)
      const chain = book.chain(budgetId)
      if (chain.some(({ settled, reserved }) => settled + reserved + consumption.amount > MAX_BALANCE)) {
        if (!book.isFresh) throw new Stale()
        throw new AutovibeError('request.invalid', `No budget can count ${consumption.amount} ${consumption.resource} more.`)
      }
      const { usageEventId } =
        book.holdOfKey(key) ?? book.charge(chain, { key, holder: 'reported after the fact', subject: consumption, leaseMs: 0 }, consumption)
      if (usageEventId === null) throw new AutovibeError('conflict.state', `The key ${key} stands for something else.`)
      return usageEventId
    },
  }
}

const answerOf = ({ id, budgetIds, amount }: Hold): Reservation => ({ id, budgetId: budgetIds[0], amount })

function found(book: Book, id: ReservationId): Hold {
  const hold = book.hold(id)
  if (!hold) throw new AutovibeError('not_found', `There is no reservation ${id}.`)
  return hold
}

function assertResource(book: Book, budgetId: BudgetId, consumption: Consumption): void {
  const [link] = book.chain(budgetId)
  if (link.resource !== consumption.resource) throw new RangeError(`a budget of ${link.resource} cannot be charged with ${consumption.resource}`)
}

function refuse(book: Book, chain: Links<LiveLink>, wanted: bigint): BudgetRefusal {
  const closed = chain.find((link) => link.isClosed)
  if (closed) {
    return new BudgetRefusal('budget.exhausted', `The budget of the ${closed.scope} ${closed.scopeId} is closed.`, {
      fix: 'Start a new run.',
      isHeldByOthers: false,
    })
  }
  const frozen = chain.find((link) => link.isFrozen)
  if (frozen) {
    const message = `The budget of the ${frozen.scope} ${frozen.scopeId} is frozen: a bill was above what had been reserved for it.`
    return new BudgetRefusal('budget.exhausted', message, {
      fix: `Look at it (autovibe budget ledger ${frozen.id}), then ${fixOf(frozen)}`,
      isHeldByOthers: false,
    })
  }
  const tightest = tightestOf(chain)
  const left = availableOf(chain)
  const isHeldByOthers = headroomOf(chain) >= wanted
  if (!isHeldByOthers) {
    // One event for each limit that was reached in a period, however often a machine knocks.
    const link = chain.find((candidate) => candidate.limit - candidate.settled - candidate.setAside < wanted) ?? tightest
    const figures = { settled: link.settled.toString(), reserved: link.reserved.toString(), wanted: wanted.toString() }
    book.tellOnce(`${link.id} ${link.version} ${link.periodEndsAt?.getTime()}`, {
      type: 'budget.exhausted',
      ...subjectOf(chain, link),
      data: { ...describeLink(link), ...figures },
    })
  }
  const period = tightest.period === 'total' ? '' : `${tightest.period} `
  const owner = `the ${period}budget of the ${tightest.scope} ${tightest.scopeId} (limit ${show(tightest, tightest.limit)})`
  const until = tightest.periodEndsAt ? ` It begins anew at ${tightest.periodEndsAt.toISOString()}.` : ''
  // Less than that link has left: a greedy neighbour is kept from taking it all at once.
  const may = left < leftOf(tightest) ? 'may be taken at once' : 'is left'
  const message =
    left === 0n
      ? `Nothing ${may} of ${owner}.${until}`
      : `This needs up to ${show(tightest, wanted)}, but only ${show(tightest, left)} ${may} of ${owner}.${until}`
  return new BudgetRefusal(left === 0n ? 'budget.exhausted' : 'budget.insufficient', message, {
    fix: `Raise it: ${fixOf(tightest)}`,
    isHeldByOthers,
    policy: tightest.policy,
  })
}

const fixOf = (link: Link): string => `autovibe budget set ${link.id} AMOUNT`
const show = (link: Link, amount: bigint): string => (link.resource === 'money' ? formatUsd(amount) : `${amount} ${link.resource}`)
