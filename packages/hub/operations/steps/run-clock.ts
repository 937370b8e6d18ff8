/** Starts and stops the clock of a run, which counts by the Hub's own time how long it has been at work: not in a pause, and not while its machine is stopped. */
import type { RunId } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import { workedMs } from '../../metering/run-clock.ts'
import type { Runtime } from '../../runtime.ts'

/** From now on it counts; one that counts already goes on. */
export async function startClock(tx: Tx, runtime: Runtime, runId: RunId): Promise<void> {
  await tx.updateTable('runs').set({ working_since: runtime.now() }).where('id', '=', runId).where('working_since', 'is', null).execute()
}

/** What it has counted until now is kept; one that stands still stays so. */
export async function stopClock(tx: Tx, runtime: Runtime, runId: RunId): Promise<void> {
  const row = await tx
    .selectFrom('runs')
    .innerJoin('machines', 'machines.id', 'runs.machine_id')
    .select(['runs.worked_ms', 'runs.working_since', 'machines.last_heartbeat_at'])
    .where('runs.id', '=', runId)
    .executeTakeFirst()
  if (!row?.working_since) return
  await tx
    .updateTable('runs')
    .set({ worked_ms: BigInt(workedMs(row, runtime.now())), working_since: null })
    .where('id', '=', runId)
    .execute()
}
