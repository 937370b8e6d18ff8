/** What a budget could still give if every open reservation came back: tells money that is gone from money that other calls hold for a moment. */
import type { BudgetId } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'

/** The least of `limit - settled` along the chain, at least zero; zero when a link is closed. */
export async function headroomOf(db: Database, budgetId: BudgetId): Promise<bigint> {
  const { rows } = await sql<{ headroom: bigint | null }>`
    with recursive chain as (
      select id, parent_id, "limit" - settled as left_over, closed_at from budgets where id = ${budgetId}
      union all
      select b.id, b.parent_id, b."limit" - b.settled, b.closed_at from budgets b join chain on b.id = chain.parent_id
    )
    select min(case when closed_at is null then greatest(left_over, 0) else 0 end)::bigint as headroom from chain`.execute(db)
  return rows[0]?.headroom ?? 0n
}
