/** How much each run used while it was at work: one small row for each, written with the meter's. */
import type { MachineId, MachineLimits } from '@autovibe/contract'
import { busyIn } from '@autovibe/core/limits/busy-times.ts'
import type { Meter, RunClock } from '@autovibe/core/metering/account.ts'
import type { Tx } from '../database/database.ts'
import type { Usage } from '../substrates/substrate.ts'

export interface Taken {
  readonly before: Meter
  readonly after: Meter
  readonly usage: Usage
  readonly run: RunClock | null
  readonly now: Date
}

/** Adds what lies between two takes of the meter to the run that they belong to. The caller holds the row of the meter, so that nobody else adds to the same. */
export async function addRunUse(tx: Tx, machineId: MachineId, defaultLimits: MachineLimits, { before, after, usage, run, now }: Taken): Promise<void> {
  if (run === null || after.runId !== run.id || (before.runId === run.id && before.isRunClosed)) return
  const [machine, known] = await Promise.all([
    tx.selectFrom('machines').select(['project_id', 'limits']).where('id', '=', machineId).executeTakeFirstOrThrow(),
    tx.selectFrom('run_uses').select(['busy_ms', 'peak_memory_bytes', 'peak_disk_bytes', 'memory_refused']).where('run_id', '=', run.id).executeTakeFirst(),
  ])
  // A stretch that began before the run did is of both, and so of neither.
  const isOwn = before.runId === run.id
  const work = {
    cpuUs: after.cpuTotalUs - before.cpuTotalUs,
    elapsedMs: now.getTime() - before.takenAtMs,
    workedMs: run.workedMs - before.wallChargedSeconds * 1000,
  }
  const busy_ms = JSON.stringify(isOwn ? busyIn(known?.busy_ms ?? {}, work) : (known?.busy_ms ?? {}))
  const peak_memory_bytes = larger(known?.peak_memory_bytes, usage.peakMemoryBytes.value) ?? 0n
  const peak_disk_bytes = larger(known?.peak_disk_bytes, usage.diskBytes?.value)
  const limits = JSON.stringify(machine.limits ?? defaultLimits)
  const memory_refused = known?.memory_refused === true || (usage.refused.memory ?? 0) > 0
  const values = { machine_id: machineId, limits, busy_ms, peak_memory_bytes, peak_disk_bytes, memory_refused, updated_at: now }
  await tx
    .insertInto('run_uses')
    .values({ run_id: run.id, project_id: machine.project_id, ...values })
    .onConflict((conflict) => conflict.column('run_id').doUpdateSet(values))
    .execute()
}

function larger(known: bigint | null | undefined, seen: number | undefined): bigint | null {
  const now = seen === undefined ? null : BigInt(Math.max(0, Math.round(seen)))
  if (known === null || known === undefined) return now
  return now === null || known > now ? known : now
}
