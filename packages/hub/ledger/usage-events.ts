/** Writes a measured consumption and tells of it. */
import type { Json, ReservationId, UsageEventId } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'
import type { Consumption } from './ledger.ts'

/** Adds the usage event and its `usage.recorded` event; returns its id. */
export async function insertUsage(tx: Tx, runtime: Runtime, consumption: Consumption, reservationId: ReservationId | null): Promise<UsageEventId> {
  const id = runtime.newId('usageEvent')
  const row = {
    resource: consumption.resource,
    quality: consumption.quality,
    provider: consumption.provider ?? null,
    model: consumption.model ?? null,
    message_id: consumption.messageId ?? null,
    price_version: consumption.priceVersion ?? null,
    reservation_id: reservationId,
    first_byte_ms: consumption.firstByteMs ?? null,
    total_ms: consumption.totalMs ?? null,
  }
  const tokens = consumption.tokens ?? null
  const detail = consumption.detail ?? {}
  const subject = { project_id: consumption.projectId, machine_id: consumption.machineId, run_id: consumption.runId }
  await tx
    .insertInto('usage_events')
    .values({
      id,
      ...subject,
      ...row,
      amount: consumption.amount,
      tokens: tokens && JSON.stringify(tokens),
      cost: consumption.cost,
      detail: JSON.stringify(detail),
      at: runtime.now(),
    })
    .execute()
  const data: Record<string, Json> = { usage_event_id: id, ...row, amount: consumption.amount.toString(), tokens, cost: consumption.cost.toString(), detail }
  await recordEvent(tx, runtime, { type: 'usage.recorded', ...subject, data })
  return id
}
