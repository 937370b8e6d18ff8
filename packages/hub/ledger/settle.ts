/** How a hold ends: settled with what was used, released because nothing was, or settled in full because its holder is gone. */
import { AutovibeError, type BudgetId, type ReservationId, type UsageEventId } from '@autovibe/contract'
import type { Selectable } from 'kysely'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { ReservationsTable } from '../database/schema.ts'
import type { Runtime } from '../runtime.ts'
import { changeBalances } from './balances.ts'
import { type Chain, describeLink, lockChain, subjectOf } from './chain.ts'
import type { Consumption } from './ledger.ts'
import { insertUsage } from './usage-events.ts'

type ReservationRow = Selectable<ReservationsTable>

/**
 * Settles an open hold and gives the rest back; a settled one answers with its usage event. A bill above its hold is posted in full, since it was
 * billed, with an alarm; `conflict.state` for a hold that was released.
 */
export async function settleHold(tx: Tx, runtime: Runtime, reservationId: ReservationId, consumption: Consumption): Promise<UsageEventId> {
  const reservation = await lockReservation(tx, reservationId)
  if (reservation.state === 'open') return post(tx, runtime, reservation, consumption)
  const usage = await tx.selectFrom('usage_events').select('id').where('reservation_id', '=', reservationId).executeTakeFirst()
  if (!usage) throw new AutovibeError('conflict.state', `The reservation ${reservationId} was released, so nothing can be settled on it.`)
  return usage.id
}

/** Gives an open hold back whole; one that has ended stays as it is. */
export async function releaseHold(tx: Tx, runtime: Runtime, reservationId: ReservationId): Promise<void> {
  const reservation = await lockReservation(tx, reservationId)
  if (reservation.state !== 'open') return
  const chain = await lockChain(tx, reservation.budget_id)
  await endReservation(tx, runtime, reservation, 'released', null)
  await changeBalances(tx, runtime, chain, { kind: 'release', reservationId, usageEventId: null, reservedDelta: -reservation.amount, settledDelta: 0n })
}

/** Settles one hold whose lease has run out at its full amount: the work may have been billed. False when there is none. */
export async function expireOne(tx: Tx, runtime: Runtime): Promise<boolean> {
  const reservation = await tx
    .selectFrom('reservations')
    .selectAll()
    .where('state', '=', 'open')
    .where('lease_expires_at', '<=', runtime.now())
    .orderBy('lease_expires_at')
    .limit(1)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst()
  if (!reservation) return false
  const chain = await lockChain(tx, reservation.budget_id)
  const consumption = await consumptionOfLost(tx, chain, reservation)
  if (consumption) await post(tx, runtime, reservation, consumption)
  else {
    // A hold of the organisation itself belongs to no project, so no usage event can stand for it; the ledger rows do.
    await endReservation(tx, runtime, reservation, 'settled', reservation.amount)
    await changeBalances(tx, runtime, chain, {
      kind: 'settle',
      reservationId: reservation.id,
      usageEventId: null,
      reservedDelta: -reservation.amount,
      settledDelta: reservation.amount,
    })
  }
  return true
}

/** Posts a consumption that nothing was held for, on a reservation that is opened and settled in one go. It may pass the limit: it has happened. */
export async function recordUnheld(tx: Tx, runtime: Runtime, consumption: Consumption, budgetId: BudgetId | null): Promise<UsageEventId> {
  if (consumption.amount < 0n) throw new RangeError('a negative amount cannot be recorded')
  if (budgetId === null) return insertUsage(tx, runtime, consumption, null)
  const chain = await lockChain(tx, budgetId)
  assertResource(chain, consumption)
  const reservationId = runtime.newId('reservation')
  const now = runtime.now()
  await tx
    .insertInto('reservations')
    .values({
      id: reservationId,
      budget_id: budgetId,
      idempotency_key: `record ${reservationId}`,
      holder: 'reported after the fact',
      amount: 0n,
      state: 'settled',
      settled_amount: consumption.amount,
      lease_expires_at: now,
      created_at: now,
      ended_at: now,
    })
    .execute()
  const usageEventId = await insertUsage(tx, runtime, consumption, reservationId)
  await changeBalances(tx, runtime, chain, { kind: 'settle', reservationId, usageEventId, reservedDelta: 0n, settledDelta: consumption.amount })
  return usageEventId
}

async function post(tx: Tx, runtime: Runtime, reservation: ReservationRow, consumption: Consumption): Promise<UsageEventId> {
  if (consumption.amount < 0n) throw new RangeError('a negative amount cannot be settled')
  const chain = await lockChain(tx, reservation.budget_id)
  assertResource(chain, consumption)
  const usageEventId = await insertUsage(tx, runtime, consumption, reservation.id)
  await endReservation(tx, runtime, reservation, 'settled', consumption.amount)
  await changeBalances(tx, runtime, chain, {
    kind: 'settle',
    reservationId: reservation.id,
    usageEventId,
    reservedDelta: -reservation.amount,
    settledDelta: consumption.amount,
  })
  if (consumption.amount > reservation.amount) {
    const [link] = chain
    const overrun = { reservation_id: reservation.id, held: reservation.amount.toString(), billed: consumption.amount.toString() }
    await recordEvent(tx, runtime, { type: 'budget.changed', ...subjectOf(chain, link), data: { ...describeLink(link), change: 'overrun', overrun } })
  }
  return usageEventId
}

async function lockReservation(tx: Tx, reservationId: ReservationId): Promise<ReservationRow> {
  const row = await tx.selectFrom('reservations').selectAll().where('id', '=', reservationId).forUpdate().executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no reservation ${reservationId}.`)
  return row
}

async function endReservation(
  tx: Tx,
  runtime: Runtime,
  reservation: ReservationRow,
  state: 'settled' | 'released',
  settledAmount: bigint | null,
): Promise<void> {
  await tx.updateTable('reservations').set({ state, settled_amount: settledAmount, ended_at: runtime.now() }).where('id', '=', reservation.id).execute()
}

/** What stands for the work of a holder that is gone; null when the chain leads to no project. */
async function consumptionOfLost(tx: Tx, chain: Chain, reservation: ReservationRow): Promise<Consumption | null> {
  const [link] = chain
  const { project_id, machine_id, run_id } = subjectOf(chain, link)
  const run = run_id ? await tx.selectFrom('runs').select(['project_id', 'machine_id']).where('id', '=', run_id).executeTakeFirst() : undefined
  const machine = machine_id ? await tx.selectFrom('machines').select('project_id').where('id', '=', machine_id).executeTakeFirst() : undefined
  const projectId = run?.project_id ?? machine?.project_id ?? project_id
  if (!projectId) return null
  return {
    projectId,
    machineId: run?.machine_id ?? (machine ? (machine_id ?? null) : null),
    runId: run ? (run_id ?? null) : null,
    resource: link.resource as Consumption['resource'],
    amount: reservation.amount,
    quality: 'estimated',
    cost: link.resource === 'money' ? reservation.amount : 0n,
    detail: { expired: true, holder: reservation.holder },
  }
}

function assertResource(chain: Chain, consumption: Consumption): void {
  if (chain[0].resource !== consumption.resource) throw new RangeError(`a budget of ${chain[0].resource} cannot be charged with ${consumption.resource}`)
}
