/** Reservations as rows, read as the writer knows them. */
import type { BudgetId, MachineId, ProjectId, ReservationId, RunId, UsageEventId } from '@autovibe/contract'
import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Schema } from '../database/schema.ts'
import { handBackHolder, runOfHandBack } from './holders.ts'
import type { Hold } from './known.ts'

interface HoldRow {
  readonly id: ReservationId
  readonly budget_ids: [BudgetId, ...BudgetId[]]
  readonly idempotency_key: string
  readonly holder: string
  readonly amount: bigint
  readonly state: Hold['state']
  readonly lease_expires_at: Date
  readonly project_id: ProjectId | null
  readonly machine_id: MachineId | null
  readonly run_id: RunId | null
  readonly usage_event_id: UsageEventId | null
}

/** Those of which the condition, on `r`, is true. */
export async function readHolds(db: Kysely<Schema>, condition: RawBuilder<unknown>): Promise<Hold[]> {
  const { rows } = await sql<HoldRow>`
    select r.id, r.budget_ids, r.idempotency_key, r.holder, r.amount, r.state, r.lease_expires_at, r.project_id, r.machine_id, r.run_id,
      (select e.usage_event_id from ledger_entries e where e.budget_id = r.budget_id and e.reservation_id = r.id and e.kind = 'settle') as usage_event_id
    from reservations r where ${condition}`.execute(db)
  return rows.map((row) => ({
    id: row.id,
    budgetIds: row.budget_ids,
    key: row.idempotency_key,
    holder: row.holder,
    amount: row.amount,
    subject: row.project_id && { projectId: row.project_id, machineId: row.machine_id, runId: row.run_id },
    leaseExpiresAt: row.lease_expires_at,
    state: row.state,
    usageEventId: row.usage_event_id,
  }))
}

/** What is open of what these runs have set aside: of each at most one. */
export async function readHandBacks(db: Kysely<Schema>, runIds: readonly RunId[]): Promise<Map<RunId, Hold>> {
  const holders = runIds.map(handBackHolder)
  const holds = await readHolds(db, sql`r.holder = any(${holders}::text[]) and r.holder like 'hand-back %' and r.state = 'open'`)
  return new Map(
    holds.flatMap((hold) => {
      const runId = runOfHandBack(hold.holder)
      return runId === undefined ? [] : [[runId, hold] as const]
    }),
  )
}

/** Whether something is left of what the run has set aside. */
export async function hasHandBack(db: Kysely<Schema>, runId: RunId): Promise<boolean> {
  const kept = (await readHandBacks(db, [runId])).get(runId)
  return kept !== undefined && kept.amount > 0n
}
