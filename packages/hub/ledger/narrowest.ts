/** Which budget a consumption is charged to: the narrowest open one that its run, machine, project or organisation has for the resource. */
import type { BudgetId, Resource } from '@autovibe/contract'
import { type Kysely, sql } from 'kysely'
import type { Schema } from '../database/schema.ts'
import type { Subject } from './ledger.ts'

/** By resource; those that nobody caps are left out. */
export async function findNarrowestBudgets(db: Kysely<Schema>, { projectId, machineId, runId }: Subject): Promise<ReadonlyMap<Resource, BudgetId>> {
  const { rows } = await sql<{ resource: Resource; id: BudgetId }>`
    select distinct on (b.resource) b.resource, b.id
    from (values ('run', ${runId}::text, 1), ('machine', ${machineId}, 2), ('project', ${projectId}, 3), ('organisation', 'organisation', 4)) as s (scope, scope_id, width)
      join budgets b on b.scope = s.scope and b.scope_id = s.scope_id and b.closed_at is null and b.period = 'total'
    order by b.resource, s.width`.execute(db)
  return new Map(rows.map(({ resource, id }) => [resource, id]))
}
