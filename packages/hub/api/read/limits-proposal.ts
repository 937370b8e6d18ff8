/** A proposal of limits from the rows that runs have left. */
import type { LimitsProposal } from '@autovibe/contract'
import { chooseLimits, mostShared } from '@autovibe/core/limits/choose.ts'
import { RUNS_LEAST, type RunUse, rightSize, SEEN_LEAST_MS, seenMs } from '@autovibe/core/limits/right-size.ts'
import type { Database } from '../../database/database.ts'
import type { Requests } from '../../operations/requests.ts'
import { readProjectSettings } from './project-settings.ts'

/** What was long ago may have been another project by now. */
const NEWEST_MS = 30 * 24 * 3_600_000
const RUNS_MOST = 200

export async function readLimitsProposal(
  db: Database,
  ref: string,
  { defaultLimits, most, tier }: ReturnType<Requests['sizes']>,
  now: Date,
): Promise<LimitsProposal> {
  const { project_id, limits } = await readProjectSettings(db, ref)
  const rows = await db
    .selectFrom('run_uses')
    .select(['limits', 'busy_ms', 'peak_memory_bytes', 'peak_disk_bytes', 'memory_refused'])
    .where('project_id', '=', project_id)
    .where('updated_at', '>=', new Date(now.getTime() - NEWEST_MS))
    .orderBy('updated_at', 'desc')
    .limit(RUNS_MOST)
    .execute()
  const uses = rows.map(
    (row): RunUse => ({
      limits: row.limits,
      busyMs: row.busy_ms,
      peakMemoryBytes: Number(row.peak_memory_bytes),
      wasMemoryRefused: row.memory_refused,
      peakDiskBytes: row.peak_disk_bytes === null ? null : Number(row.peak_disk_bytes),
    }),
  )
  const held = chooseLimits(defaultLimits, limits)
  return {
    runs: uses.length,
    runs_needed: RUNS_LEAST,
    seen_seconds: seenMs(uses) / 1000,
    seen_seconds_needed: SEEN_LEAST_MS / 1000,
    proposal: rightSize(uses, held, tier.substrate === 'local' ? mostShared(most, held) : most),
  }
}
