/** A measured consumption as rows, and the event that tells of it. */
import type { Json, ReservationId, UsageEventId } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import { type NewEvent, recordEvent } from '../database/events.ts'
import { storableText } from '../database/storable.ts'
import type { Runtime } from '../runtime.ts'
import type { Consumption } from './ledger.ts'

/** A consumption as the row of `usage_events` and as the event that tells of it. */
export function usageRows(runtime: Runtime, consumption: Consumption, reservationId: ReservationId | null) {
  const id: UsageEventId = runtime.newId('usageEvent')
  const subject = { project_id: consumption.projectId, machine_id: consumption.machineId, run_id: consumption.runId }
  const figures = {
    resource: consumption.resource,
    amount: consumption.amount.toString(),
    quality: consumption.quality,
    provider: consumption.provider ?? null,
    model: consumption.model === undefined ? null : storableText(consumption.model),
    message_id: consumption.messageId == null ? null : storableText(consumption.messageId),
    tokens: consumption.tokens ?? null,
    cost: consumption.cost.toString(),
    price_version: consumption.priceVersion ?? null,
    reservation_id: reservationId,
    first_byte_ms: consumption.firstByteMs ?? null,
    total_ms: consumption.totalMs ?? null,
    detail: consumption.detail ?? {},
  }
  const data: Record<string, Json> = { usage_event_id: id, ...figures }
  return { row: { id, ...subject, ...figures }, event: { type: 'usage.recorded', ...subject, data } satisfies NewEvent }
}

/** Adds a usage event that no reservation stands for, and its `usage.recorded` event, in the caller's transaction, unless there is one of this key. */
export async function insertUsage(tx: Tx, runtime: Runtime, consumption: Consumption, key: string): Promise<void> {
  const { row, event } = usageRows(runtime, consumption, null)
  const inserted = await tx
    .insertInto('usage_events')
    .values({
      ...row,
      amount: consumption.amount,
      cost: consumption.cost,
      tokens: row.tokens && JSON.stringify(row.tokens),
      detail: JSON.stringify(row.detail),
      report_key: key,
      at: runtime.now(),
    })
    .onConflict((conflict) => conflict.column('report_key').where('report_key', 'is not', null).doNothing())
    .executeTakeFirst()
  if (inserted.numInsertedOrUpdatedRows === 1n) await recordEvent(tx, runtime, event)
}
