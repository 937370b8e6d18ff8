/** Reserving: the amount is held on every link of the chain, or nowhere. */
import { AutovibeError, formatUsd } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import type { NewEvent } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'
import { changeBalances } from './balances.ts'
import { availableOf, type Chain, describeLink, type Link, leftOf, lockChain, subjectOf } from './chain.ts'
import type { Reservation, Reserve } from './ledger.ts'

interface Exhausted {
  readonly chain: Chain
  readonly link: Link
  readonly wanted: bigint
}

export type HoldOutcome =
  | { readonly kind: 'held'; readonly reservation: Reservation }
  /** `exhausted`: the link that could not give the amount even if every other hold were given back; null when only other holds are in the way. */
  | { readonly kind: 'refused'; readonly error: AutovibeError; readonly exhausted: Exhausted | null }

/** Holds an amount, or says why not; a key that was used before gives the first answer. */
export async function holdAmount(tx: Tx, runtime: Runtime, request: Reserve): Promise<HoldOutcome> {
  if (request.amount < 0n) throw new RangeError('a negative amount cannot be reserved')
  const chain = await lockChain(tx, request.budgetId)
  const repeated = await findByKey(tx, request.key)
  if (repeated) return { kind: 'held', reservation: repeated }
  const tightest = chain.reduce((a, b) => (leftOf(b) < leftOf(a) ? b : a))
  const available = availableOf(chain)
  if (tightest.closed_at !== null || available < request.amount) return refuse(chain, tightest, request)

  const now = runtime.now()
  const inserted = await tx
    .insertInto('reservations')
    .values({
      id: runtime.newId('reservation'),
      budget_id: request.budgetId,
      idempotency_key: request.key,
      holder: request.holder,
      amount: request.amount,
      state: 'open',
      settled_amount: null,
      lease_expires_at: new Date(now.getTime() + request.leaseMs),
      created_at: now,
      ended_at: null,
    })
    .onConflict((conflict) => conflict.column('idempotency_key').doNothing())
    .returning('id')
    .executeTakeFirst()
  if (!inserted) {
    // The same key, at the same moment, on another chain.
    const first = await findByKey(tx, request.key)
    if (!first) throw new Error(`the reservation with the key ${request.key} is gone`)
    return { kind: 'held', reservation: first }
  }
  await changeBalances(tx, runtime, chain, { kind: 'reserve', reservationId: inserted.id, usageEventId: null, reservedDelta: request.amount, settledDelta: 0n })
  return { kind: 'held', reservation: { id: inserted.id, budgetId: request.budgetId, amount: request.amount } }
}

/** The event of a limit that was reached, and what makes it the same event again. */
export function exhaustion({ chain, link, wanted }: Exhausted): { event: NewEvent; key: string } {
  return {
    key: `${link.id} ${link.version}`,
    event: {
      type: 'budget.exhausted',
      ...subjectOf(chain, link),
      data: { ...describeLink(link), settled: link.settled.toString(), reserved: link.reserved.toString(), wanted: wanted.toString() },
    },
  }
}

function refuse(chain: Chain, tightest: Link, request: Reserve): HoldOutcome {
  const closed = chain.find((link) => link.closed_at !== null)
  if (closed) {
    const message = `The budget of the ${closed.scope} ${closed.scope_id} is closed.`
    return { kind: 'refused', error: new AutovibeError('budget.exhausted', message, { fix: 'Start a new run.' }), exhausted: null }
  }
  const left = leftOf(tightest)
  const show = (amount: bigint) => (tightest.resource === 'money' ? formatUsd(amount) : `${amount} ${tightest.resource}`)
  const owner = `the budget of the ${tightest.scope} ${tightest.scope_id}`
  const message =
    left === 0n
      ? `Nothing is left of ${owner} (limit ${show(tightest.limit)}).`
      : `This needs up to ${show(request.amount)}, but only ${show(left)} is left of ${owner} (limit ${show(tightest.limit)}).`
  const error = new AutovibeError(left === 0n ? 'budget.exhausted' : 'budget.insufficient', message, {
    fix: `Raise it: autovibe budget set ${tightest.id} AMOUNT`,
  })
  const link = chain.find((candidate) => candidate.limit - candidate.settled < request.amount) ?? null
  return { kind: 'refused', error, exhausted: link && { chain, link, wanted: request.amount } }
}

async function findByKey(tx: Tx, key: string): Promise<Reservation | undefined> {
  const row = await tx.selectFrom('reservations').select(['id', 'budget_id', 'amount']).where('idempotency_key', '=', key).executeTakeFirst()
  return row && { id: row.id, budgetId: row.budget_id, amount: row.amount }
}
