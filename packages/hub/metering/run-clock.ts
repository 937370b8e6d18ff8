/** How long the run of a machine has been at work, by the rows that the Hub's operations keep. */
import type { MachineId, RunId } from '@autovibe/contract'
import type { RunClock } from '@autovibe/core/metering/account.ts'
import { workedMsAt } from '@autovibe/core/metering/worked.ts'
import type { Kysely } from 'kysely'
import type { Schema } from '../database/schema.ts'

interface ClockRow {
  readonly worked_ms: bigint
  readonly working_since: Date | null
  /** Of its machine. */
  readonly last_heartbeat_at: Date | null
}

/** Of the run that the machine works on, or worked on last. */
export async function runClock(db: Kysely<Schema>, machineId: MachineId, now: Date): Promise<RunClock | null> {
  const row = await db
    .selectFrom('machines')
    .innerJoin('runs', 'runs.id', 'machines.run_id')
    .select(['runs.id', 'runs.ended_at', 'runs.worked_ms', 'runs.working_since', 'machines.last_heartbeat_at'])
    .where('machines.id', '=', machineId)
    .executeTakeFirst()
  return row === undefined ? null : clockOf(row, now)
}

export const clockOf = (run: ClockRow & { readonly id: RunId; readonly ended_at: Date | null }, now: Date): RunClock => ({
  id: run.id,
  isOver: run.ended_at !== null,
  workedMs: workedMs(run, now),
})

export const workedMs = ({ worked_ms, working_since, last_heartbeat_at }: ClockRow, now: Date): number =>
  workedMsAt({ workedMs: Number(worked_ms), workingSinceMs: working_since?.getTime() ?? null, heardAtMs: last_heartbeat_at?.getTime() ?? null }, now.getTime())
