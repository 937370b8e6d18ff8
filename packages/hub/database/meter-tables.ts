/** The rows of schema.ts in which stands what machines and runs took. */
import type { MachineId, MachineLimits, ProjectId, RunId } from '@autovibe/contract'
import type { BusyTimes } from '@autovibe/core/limits/busy-times.ts'
import type { Verdict } from '@autovibe/core/limits/verdict.ts'
import type { Charge } from '@autovibe/core/metering/account.ts'
import type { ColumnType, Generated, JSONColumnType } from 'kysely'

export interface MachineMetersTable {
  machine_id: MachineId
  life: string
  cpu_taken_us: bigint
  cpu_owed_us: bigint
  cpu_total_us: bigint
  run_id: RunId | null
  run_closed: boolean
  wall_charged_seconds: bigint
  disk_charged_bytes: bigint | null
  disk_bytes: bigint | null
  network_taken_bytes: Generated<bigint>
  doubted: Generated<boolean>
  peak_memory_bytes: bigint
  quality: 'measured' | 'estimated'
  charged_at: Date
  round: bigint
  pending: ColumnType<Charge[], string | undefined, string>
  reached: ColumnType<Verdict | null, string | null | undefined, string | null>
}

export interface RunUsesTable {
  run_id: RunId
  machine_id: MachineId
  project_id: ProjectId
  limits: JSONColumnType<MachineLimits, string, string>
  busy_ms: JSONColumnType<BusyTimes, string, string>
  peak_memory_bytes: bigint
  peak_disk_bytes: bigint | null
  memory_refused: Generated<boolean>
  updated_at: Date
}
