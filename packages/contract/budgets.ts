/** Budgets: caps in a chain (organisation > project > machine > run), and the ledger beneath them. */
import { z } from 'zod'
import { PageQuery, Time } from './common.ts'
import { BudgetId, ReservationId, UsageEventId } from './ids.ts'
import { Amount } from './money.ts'

/** What can be capped. Units: money in nano-US-dollars, seconds and bytes and calls and tokens as they are. */
export const RESOURCES = ['money', 'tokens', 'api_calls', 'wall_seconds', 'cpu_seconds', 'storage_bytes', 'egress_bytes', 'network_bytes'] as const
export const Resource = z.enum(RESOURCES)
export type Resource = z.infer<typeof Resource>

export const BUDGET_SCOPES = ['organisation', 'project', 'machine', 'run'] as const
export const BudgetScope = z.enum(BUDGET_SCOPES)
export type BudgetScope = z.infer<typeof BudgetScope>

/** How long a budget counts until it begins anew, by the calendar in UTC (weeks from Monday); what is left over is not carried on. */
export const BUDGET_PERIODS = ['total', 'daily', 'weekly', 'monthly'] as const
export const BudgetPeriod = z.enum(BUDGET_PERIODS)
export type BudgetPeriod = z.infer<typeof BudgetPeriod>

/** What happens to a run that meets the limit: it waits between two steps, ends its step first, or winds its work down. */
export const BUDGET_POLICIES = ['park', 'finish-step', 'wind-down'] as const
export const BudgetPolicy = z.enum(BUDGET_POLICIES)
export type BudgetPolicy = z.infer<typeof BudgetPolicy>

const Thresholds = z.array(z.int().min(1).max(99)).max(10).describe('Percents of the limit at which `budget.threshold` is raised')
/** Told to the millionth. */
const Share = z.number().min(0).max(1)

/** `settled + reserved <= limit`, always; amounts are whole numbers in the resource's unit, as decimal strings. */
export const Budget = z.object({
  id: BudgetId,
  parent_id: BudgetId.nullable(),
  scope: BudgetScope,
  /** The id of the project, machine or run; `organisation` for the root. */
  scope_id: z.string(),
  resource: Resource,
  period: BudgetPeriod,
  period_ends_at: Time.nullable().describe('When `settled` begins anew at zero; null when it never does'),
  limit: Amount,
  settled: Amount,
  reserved: Amount,
  set_aside: Amount.describe('What of `reserved` is kept for handing work back, and by no call under way'),
  available: Amount.describe('What may still be reserved: the least of `limit - settled - reserved` along the chain, of which each link may ask for its share'),
  thresholds: Thresholds,
  policy: BudgetPolicy.describe('What happens to a run that meets the limit'),
  share: Share.describe('How much of what is left above the project it may take at once, its greediness; 1 but for projects'),
  frozen_at: Time.nullable().describe('Since when nothing may be reserved, because a bill was above its hold; setting the limit thaws it'),
  closed_at: Time.nullable(),
  created_at: Time,
  /** Strong ETag, for `If-Match`. */
  version: z.int(),
})
export type Budget = z.infer<typeof Budget>

export const CreateBudget = z.object({
  scope: z.enum(['organisation', 'project']),
  scope_id: z.string(),
  resource: Resource.default('money'),
  period: BudgetPeriod.default('total'),
  limit: Amount,
  thresholds: Thresholds.optional(),
  policy: BudgetPolicy.optional(),
  share: Share.optional().describe('Of a project alone, and of all its budgets of this resource'),
})
export type CreateBudget = z.input<typeof CreateBudget>
export const UpdateBudget = CreateBudget.pick({ thresholds: true, policy: true, share: true })
  .extend({ limit: Amount.optional().describe('Setting it, even to what it is, thaws a frozen budget') })
  .refine((change) => Object.keys(change).length > 0, 'must change something')
export type UpdateBudget = z.infer<typeof UpdateBudget>
export const BudgetQuery = PageQuery.extend({
  scope: BudgetScope.optional(),
  scope_id: z.string().optional(),
  resource: Resource.optional(),
  period: BudgetPeriod.optional(),
  open: z.stringbool().optional(),
})
export type BudgetQuery = z.infer<typeof BudgetQuery>

export const RESERVATION_STATES = ['open', 'settled', 'released'] as const

/** One row of the ledger; rows are only ever added. */
export const LedgerEntry = z.object({
  id: z.string(),
  budget_id: BudgetId,
  reservation_id: ReservationId.nullable(),
  usage_event_id: UsageEventId.nullable(),
  kind: z.enum(['reserve', 'settle', 'release', 'rollover']),
  /** Change of `reserved` and of `settled`, signed. */
  reserved_delta: z.string(),
  settled_delta: z.string(),
  at: Time,
})
export type LedgerEntry = z.infer<typeof LedgerEntry>

/** What the audit of the ledger asks: that balances are what their entries add up to, and that reservations, usage events, references and chains agree. */
export const AUDIT_CHECKS = ['balance', 'reservation', 'usage', 'reference', 'chain'] as const
export const AuditCheck = z.enum(AUDIT_CHECKS)
export type AuditCheck = z.infer<typeof AuditCheck>

export const AuditFinding = z.object({
  check: AuditCheck,
  subject: z.string().describe('The id of the row'),
  message: z.string(),
})
export type AuditFinding = z.infer<typeof AuditFinding>

/** All of one moment, while the ledger was in use; sound when there are no findings. */
export const LedgerAudit = z.object({
  at: Time,
  checked: z.object({ budgets: z.int(), reservations: z.int(), entries: z.int(), usage_events: z.int() }),
  findings: z.array(AuditFinding),
  is_complete: z.boolean().describe('False when a check found more than are listed'),
})
export type LedgerAudit = z.infer<typeof LedgerAudit>
