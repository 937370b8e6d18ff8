/** The audit of the ledger: every check on one snapshot of the rows, while the writer goes on, with no more than some findings of each in memory. */
import type { AuditCheck, AuditFinding, LedgerAudit } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'
import { CHECKS } from './audit-checks.ts'

/** Of each check; who has more has one cause, and finds it by these. */
const FINDINGS_MAX = 100
/** An event is read by people and carried by webhooks. */
const TOLD_MAX = 20

interface Counts {
  readonly budgets: bigint
  readonly reservations: bigint
  readonly entries: bigint
  readonly usage_events: bigint
}

/** Looks at everything once; what it finds is told by a `budget.audit_failed` event. */
export async function audit(db: Database, runtime: Runtime): Promise<LedgerAudit> {
  const at = runtime.now()
  const { counts, found } = await look(db)
  const findings = found.flatMap((rows) => rows.slice(0, FINDINGS_MAX))
  const isComplete = found.every((rows) => rows.length <= FINDINGS_MAX)
  if (findings.length > 0) {
    const data = { findings: findings.length, is_complete: isComplete, first: findings.slice(0, TOLD_MAX).map((finding) => ({ ...finding })) }
    await db.transaction().execute((tx) => recordEvent(tx, runtime, { type: 'budget.audit_failed', data }))
  }
  return {
    at: at.toISOString(),
    checked: {
      budgets: Number(counts.budgets),
      reservations: Number(counts.reservations),
      entries: Number(counts.entries),
      usage_events: Number(counts.usage_events),
    },
    findings,
    is_complete: isComplete,
  }
}

/** Each batch of the writer is one transaction, so a snapshot holds all of it or nothing. */
async function look(db: Database): Promise<{ counts: Counts; found: AuditFinding[][] }> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (tx) => {
      const { rows } = await sql<Counts>`
        select (select count(*) from budgets) as budgets, (select count(*) from reservations) as reservations,
          (select count(*) from ledger_entries) as entries, (select count(*) from usage_events) as usage_events`.execute(tx)
      const found: AuditFinding[][] = []
      for (const [check, query] of Object.entries(CHECKS) as [AuditCheck, (typeof CHECKS)[AuditCheck]][]) {
        const { rows } = await sql<
          Omit<AuditFinding, 'check'>
        >`select subject, message from (${query}) f order by subject, message limit ${FINDINGS_MAX + 1}`.execute(tx)
        found.push(rows.map(({ subject, message }) => ({ check, subject, message })))
      }
      const [counts = { budgets: 0n, reservations: 0n, entries: 0n, usage_events: 0n }] = rows
      return { counts, found }
    })
}
