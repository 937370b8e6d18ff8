/** Usage events: one measured consumption each. Model calls are written by the gateway alone; machines report the rest. */
import { z } from 'zod'
import { Resource } from './budgets.ts'
import { Json, PageQuery, Time } from './common.ts'
import { MachineId, ProjectId, ReservationId, RunId, UsageEventId } from './ids.ts'
import { Amount, NanoUsd } from './money.ts'

/** Tokens of one model call, each kind counted once (cached input is not part of `input`). */
export const TokenCounts = z.object({
  input: Amount,
  cache_read: Amount,
  cache_write_5m: Amount,
  cache_write_1h: Amount,
  output: Amount,
})
export type TokenCounts = z.infer<typeof TokenCounts>

export const UsageEvent = z.object({
  id: UsageEventId,
  project_id: ProjectId,
  machine_id: MachineId.nullable(),
  run_id: RunId.nullable(),
  resource: Resource,
  amount: Amount,
  /** `measured`, or `estimated` when the exact figure could not be had. */
  quality: z.enum(['measured', 'estimated']),
  provider: z.string().nullable(),
  model: z.string().nullable(),
  message_id: z.string().nullable(),
  tokens: TokenCounts.nullable(),
  cost: NanoUsd,
  price_version: z.string().nullable(),
  reservation_id: ReservationId.nullable(),
  first_byte_ms: z.int().nullable(),
  total_ms: z.int().nullable(),
  detail: z.record(z.string(), Json),
  at: Time,
})
export type UsageEvent = z.infer<typeof UsageEvent>

export const UsageQuery = PageQuery.extend({
  project: ProjectId.optional(),
  machine: MachineId.optional(),
  run: RunId.optional(),
  resource: Resource.optional(),
})
export type UsageQuery = z.infer<typeof UsageQuery>
