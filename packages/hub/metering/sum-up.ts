/** Adds up old readings of meters, a day of a machine at a time: what they come to stays, for each run, resource and quality, and all sums over them with it. */
import type { MachineId } from '@autovibe/contract'
import { DAY_MS, dayOf, summedBefore } from '@autovibe/core/metering/sums.ts'
import { type RawBuilder, sql } from 'kysely'
import type { Database } from '../database/database.ts'

export const SUM_UP_EVERY_MS = 60 * 60 * 1000
const MACHINES_AT_ONCE = 100
/** Days of machines in a look; the next goes on. */
const DAYS_MOST = 2_000

/** As in the index `usage_events_readings`. */
const isReading: RawBuilder<boolean> = sql`not u.summed and u.reservation_id is null and u.report_key like 'meter %'`

export interface SummedUp {
  readonly readings: number
  readonly rows: number
}

export async function sumUpReadings(db: Database, nowMs: number, signal: AbortSignal): Promise<SummedUp> {
  const beforeMs = summedBefore(nowMs)
  let [readings, rows, days] = [0, 0, 0]
  for (let after = '' as MachineId; ; ) {
    const machines = await withReadings(db, after, beforeMs)
    for (const { id, at } of machines) {
      for (let oldest: Date | null = at; oldest !== null; days += 1) {
        if (signal.aborted || days >= DAYS_MOST) return { readings, rows }
        const fromMs = dayOf(oldest.getTime())
        const summed = await sumUpDay(db, id, fromMs)
        readings += summed.readings
        rows += summed.rows
        oldest = await oldestReading(db, id, fromMs + DAY_MS, beforeMs)
      }
    }
    const last = machines.at(-1)
    if (last === undefined) return { readings, rows }
    after = last.id
  }
}

async function withReadings(db: Database, after: MachineId, beforeMs: number): Promise<readonly { id: MachineId; at: Date }[]> {
  const { rows } = await sql<{ id: MachineId; at: Date }>`
    select m.id, oldest.at
    from machines m cross join lateral (
      select u.at from usage_events u where u.machine_id = m.id and u.at < ${new Date(beforeMs)} and ${isReading} order by u.at limit 1
    ) oldest
    where m.id > ${after} order by m.id limit ${MACHINES_AT_ONCE}`.execute(db)
  return rows
}

async function oldestReading(db: Database, machineId: MachineId, fromMs: number, beforeMs: number): Promise<Date | null> {
  const { rows } = await sql<{ at: Date }>`
    select u.at from usage_events u
    where u.machine_id = ${machineId} and u.at >= ${new Date(fromMs)} and u.at < ${new Date(beforeMs)} and ${isReading} order by u.at limit 1`.execute(db)
  return rows[0]?.at ?? null
}

/** The newest row of each group stays and takes the others' amounts, so that its id is where readers expect it. What a Hub was about to pay when it died keeps its key until it is known to be paid. */
async function sumUpDay(db: Database, machineId: MachineId, fromMs: number): Promise<SummedUp> {
  const { rows } = await sql<{ readings: number }>`
    with readings as (
      select u.id, u.project_id, u.run_id, u.resource, u.quality, u.amount, u.cost, u.at, (u.detail ->> 'peak_memory_bytes')::numeric as peak
      from usage_events u
      where u.machine_id = ${machineId} and u.at >= ${new Date(fromMs)} and u.at < ${new Date(fromMs + DAY_MS)} and ${isReading}
        and not exists (
          select 1 from machine_meters m, jsonb_array_elements(m.pending) charge where m.machine_id = u.machine_id and charge ->> 'key' = u.report_key
        )
    ), sums as (
      select max(id) as id, sum(amount)::bigint as amount, sum(cost)::bigint as cost, count(*)::int as readings, min(at) as since, max(peak) as peak
      from readings group by project_id, run_id, resource, quality
    ), gone as (
      delete from usage_events where id in (select id from readings) and id not in (select id from sums)
    )
    update usage_events u set summed = true, amount = s.amount, cost = s.cost,
      detail = u.detail || jsonb_strip_nulls(jsonb_build_object('readings', s.readings, 'since', s.since, 'peak_memory_bytes', s.peak))
    from sums s where u.id = s.id
    returning s.readings`.execute(db)
  return { readings: rows.reduce((sum, row) => sum + row.readings, 0), rows: rows.length }
}
