/** Lets runs that were stopped for money go on when a new period has given them some: whoever set a cap for each day expects the work to go on the next day. */
import { AutovibeError, type RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import type { Requests } from '../operations/requests.ts'

/** What is left over is found at the next look. */
const AT_ONCE_MAX = 100

/** Resumes each such run once for each period: one that meets its limit again was stopped after the period began. Answers the runs that go on. */
export async function resumeInNewPeriods(db: Database, requests: Pick<Requests, 'resumeRun'>): Promise<RunId[]> {
  const resumed: RunId[] = []
  for (const runId of await findRenewed(db)) {
    try {
      await transactionWithRetry(db, (tx) => requests.resumeRun(tx, runId))
      resumed.push(runId)
    } catch (error) {
      // Another limit is in the way, or its machine is in other hands.
      if (!(error instanceof AutovibeError)) throw error
    }
  }
  return resumed
}

/** Runs that wait for money, above which a period has begun since they were stopped. */
async function findRenewed(db: Database): Promise<RunId[]> {
  const { rows } = await sql<{ id: RunId }>`
    select r.id from runs r
    where r.state = 'paused' and r.ended_at is null and r.state_reason ~* 'budget' and exists (
      with recursive up as (
        select b.id, b.parent_id from budgets b where b.id = r.budget_id
        union all
        select b.id, b.parent_id from up join budgets b on b.id = up.parent_id
      )
      select from up join ledger_entries e on e.budget_id = up.id and e.kind = 'rollover'
      where e.at > (select max(told.at) from events told where told.run_id = r.id and told.type = 'run.state_changed' and told.data ->> 'to' = 'paused')
    )
    order by r.id limit ${AT_ONCE_MAX}`.execute(db)
  return rows.map(({ id }) => id)
}
