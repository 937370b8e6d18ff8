/** Budgets: caps in a chain (organisation > project > machine > run), and the ledger beneath them. */
import { z } from 'zod'
import { PageQuery, Time } from './common.ts'
import { BudgetId, ReservationId, UsageEventId } from './ids.ts'
import { Amount } from './money.ts'

/** What can be capped. Units: money in nano-US-dollars, seconds and bytes and calls and tokens as they are. */
export const RESOURCES = ['money', 'tokens', 'api_calls', 'wall_seconds', 'cpu_seconds', 'storage_bytes'] as const
export const Resource = z.enum(RESOURCES)
export type Resource = z.infer<typeof Resource>

export const BUDGET_SCOPES = ['organisation', 'project', 'machine', 'run'] as const
export const BudgetScope = z.enum(BUDGET_SCOPES)
export type BudgetScope = z.infer<typeof BudgetScope>

/** `settled + reserved <= limit`, always; amounts are whole numbers in the resource's unit, as decimal strings. */
export const Budget = z.object({
  id: BudgetId,
  parent_id: BudgetId.nullable(),
  scope: BudgetScope,
  /** The id of the project, machine or run; `organisation` for the root. */
  scope_id: z.string(),
  resource: Resource,
  limit: Amount,
  settled: Amount,
  reserved: Amount,
  /** What may still be reserved: the least of `limit - settled - reserved` along the chain. */
  available: Amount,
  closed_at: Time.nullable(),
  created_at: Time,
  /** Strong ETag, for `If-Match`. */
  version: z.int(),
})
export type Budget = z.infer<typeof Budget>

export const CreateBudget = z.object({ scope: z.enum(['organisation', 'project']), scope_id: z.string(), resource: Resource.default('money'), limit: Amount })
export type CreateBudget = z.input<typeof CreateBudget>
export const UpdateBudget = z.object({ limit: Amount })
export type UpdateBudget = z.infer<typeof UpdateBudget>
export const BudgetQuery = PageQuery.extend({
  scope: BudgetScope.optional(),
  scope_id: z.string().optional(),
  resource: Resource.optional(),
  open: z.stringbool().optional(),
})
export type BudgetQuery = z.infer<typeof BudgetQuery>

export const RESERVATION_STATES = ['open', 'settled', 'released'] as const

/** One row of the ledger; rows are only ever added. */
export const LedgerEntry = z.object({
  id: z.string(),
  budget_id: BudgetId,
  reservation_id: ReservationId,
  usage_event_id: UsageEventId.nullable(),
  kind: z.enum(['reserve', 'settle', 'release']),
  /** Change of `reserved` and of `settled`, signed. */
  reserved_delta: z.string(),
  settled_delta: z.string(),
  at: Time,
})
export type LedgerEntry = z.infer<typeof LedgerEntry>
