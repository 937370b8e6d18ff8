/** Tells of a machine that itself says far less than its host saw, once in each of its lives: the larger of the two is charged all the same. */
import type { Json, ProjectId, RunId } from '@autovibe/contract'
import { recordEvent } from '../database/events.ts'
import type { MeterRow } from '../metering/meter.ts'
import type { Ports } from '../operations/ports.ts'
import type { Usage } from '../substrates/substrate.ts'

type Doubted = Pick<MeterRow, 'machine_id' | 'life'> & { readonly project_id: ProjectId; readonly current_run_id: RunId | null }

/** Whether it was told just now. */
export async function tellDoubt({ db, runtime }: Pick<Ports, 'db' | 'runtime'>, row: Doubted, doubt: NonNullable<Usage['doubt']>): Promise<boolean> {
  return db.transaction().execute(async (tx) => {
    const { numUpdatedRows } = await tx
      .updateTable('machine_meters')
      .set({ doubted: true })
      .where('machine_id', '=', row.machine_id)
      .where('life', '=', row.life)
      .where('doubted', '=', false)
      .executeTakeFirst()
    if (numUpdatedRows === 0n) return false
    const data: Record<string, Json> = { told_cpu_seconds: doubt.toldCpuSeconds, seen_cpu_seconds: doubt.seenCpuSeconds }
    await recordEvent(tx, runtime, { type: 'machine.usage_doubted', project_id: row.project_id, machine_id: row.machine_id, run_id: row.current_run_id, data })
    return true
  })
}
