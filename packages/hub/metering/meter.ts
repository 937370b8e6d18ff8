/** The meter of each machine: what it took is written down with its charges first and then charged by keys, so that a crash in between counts nothing twice and loses nothing. */
import { AutovibeError, type MachineId, type RunId } from '@autovibe/contract'
import { reasonOf } from '@autovibe/core/limits/verdict.ts'
import { type Charge, type Counters, type Extent, firstMeter, isDue, type Meter, type RunClock, takeInto } from '@autovibe/core/metering/account.ts'
import { type Kysely, type Selectable, sql } from 'kysely'
import type { Database, Tx } from '../database/database.ts'
import type { MachineMetersTable } from '../database/meter-tables.ts'
import type { Schema } from '../database/schema.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import type { Substrate, Usage } from '../substrates/substrate.ts'
import { pay } from './pay.ts'
import { runClock } from './run-clock.ts'
import { addRunUse } from './run-uses.ts'

export interface MeterPorts {
  readonly db: Database
  readonly runtime: Runtime
  readonly ledger: Ledger
  readonly substrate: Pick<Substrate, 'measure' | 'capabilities'>
}

export type MeterRow = Selectable<MachineMetersTable>

/** While so many charges wait for the ledger nothing more is taken: the counters keep it. */
const PENDING_MAX = 100

/** One after the other for a machine: its end and the looks in between may come together. */
const turns = new Map<MachineId, Promise<void>>()

/** A life has begun: from now on the Hub measures it, and what ended the last one is past. */
export async function openMeter({ db, runtime, substrate }: MeterPorts, machineId: MachineId, signal: AbortSignal): Promise<void> {
  const usage = await substrate.measure(machineId, signal)
  if (usage === null) return
  const { parent_checkpoint_id } = await db.selectFrom('machines').select('parent_checkpoint_id').where('id', '=', machineId).executeTakeFirstOrThrow()
  const seen = seenIn(usage)
  const first = firstMeter(countersOf(usage), parent_checkpoint_id === null, runtime.now().getTime())
  await db
    .insertInto('machine_meters')
    .values({ machine_id: machineId, ...columnsOf(first), ...seen })
    .onConflict((oc) =>
      oc
        .column('machine_id')
        .doUpdateSet({ life: usage.life, cpu_taken_us: 0n, network_taken_bytes: 0n, peak_memory_bytes: seen.peak_memory_bytes, reached: null, doubted: false })
        .where('machine_meters.life', '<>', usage.life),
    )
    .execute()
}

/** Takes what the machine's counters show now, or showed at its end, and charges all of it. Nothing is done for a machine that was never measured. */
export const takeMeter = (ports: MeterPorts, machineId: MachineId, signal: AbortSignal): Promise<void> =>
  inTurn(machineId, async () => {
    if (await isMetered(ports.db, machineId)) await take(ports, machineId, await ports.substrate.measure(machineId, signal), 'all', () => true)
  })

/** The same of what a look has just shown, as far as it is worth a row: a machine that answers slowly is not asked twice. Of a life that is over by now its end has taken the rest. */
export const takeMeasured = (ports: MeterPorts, machineId: MachineId, usage: Usage): Promise<void> =>
  inTurn(machineId, () => take(ports, machineId, usage, 'worthwhile', ({ life }) => life === usage.life))

function inTurn(machineId: MachineId, work: () => Promise<void>): Promise<void> {
  const before = turns.get(machineId) ?? Promise.resolve()
  const turn = before.catch(() => undefined).then(work)
  turns.set(machineId, turn)
  const clear = (): void => {
    if (turns.get(machineId) === turn) turns.delete(machineId)
  }
  turn.then(clear, clear)
  return turn
}

/** Whether it is time to. */
export const isTimeToTake = (row: MeterRow, usage: Usage | null, run: RunClock | null, nowMs: number): boolean =>
  row.pending.length > 0 || isDue(meterOf(row), row.machine_id, usage && countersOf(usage), run, nowMs)

/** Whether the Hub measures this machine by itself. */
export async function isMetered(db: Kysely<Schema>, machineId: MachineId): Promise<boolean> {
  return (await db.selectFrom('machine_meters').select('machine_id').where('machine_id', '=', machineId).executeTakeFirst()) !== undefined
}

/** Why this life of the machine has to end; null while it is within its limits. */
export async function limitReached(db: Kysely<Schema>, machineId: MachineId): Promise<string | null> {
  const row = await db.selectFrom('machine_meters').select('reached').where('machine_id', '=', machineId).executeTakeFirst()
  return row?.reached ? reasonOf(row.reached) : null
}

/** Throws `machine.limit_reached` for a machine whose life has to end: whoever waits for it waits in vain. */
export async function assertWithinLimits(tx: Tx, machineId: MachineId): Promise<void> {
  const reason = await limitReached(tx, machineId)
  if (reason !== null) throw new AutovibeError('machine.limit_reached', reason)
}

async function take(
  { db, runtime, ledger, substrate }: MeterPorts,
  machineId: MachineId,
  usage: Usage | null,
  extent: Extent,
  isToTake: (row: MeterRow) => boolean,
): Promise<void> {
  await transactionWithRetry(db, async (tx) => {
    const row = await tx.selectFrom('machine_meters').selectAll().where('machine_id', '=', machineId).forUpdate().executeTakeFirstOrThrow()
    if (row.pending.length >= PENDING_MAX || !isToTake(row)) return
    const now = runtime.now()
    const before = meterOf(row)
    const run = await runClock(tx, machineId, now)
    const { meter, charges } = takeInto(before, machineId, usage && countersOf(usage), run, now.getTime(), extent)
    if (usage !== null) await addRunUse(tx, machineId, substrate.capabilities().defaultLimits, { before, after: meter, usage, run, now })
    const pending: Charge[] = [...row.pending, ...charges]
    await tx
      .updateTable('machine_meters')
      .set({ ...columnsOf(meter), ...(usage && seenSince(row, usage)), pending: JSON.stringify(pending) })
      .where('machine_id', '=', machineId)
      .execute()
  })
  const { pending, peak_memory_bytes } = await db
    .selectFrom('machine_meters')
    .select(['pending', 'peak_memory_bytes'])
    .where('machine_id', '=', machineId)
    .executeTakeFirstOrThrow()
  if (pending.length === 0) return
  await pay({ db, ledger }, machineId, pending, { peak_memory_bytes: Number(peak_memory_bytes) })
  const paid = pending.map(({ key }) => key)
  await sql`
    update machine_meters set pending = coalesce(
      (select jsonb_agg(charge) from jsonb_array_elements(pending) charge where not charge ->> 'key' = any(${paid}::text[])), '[]')
    where machine_id = ${machineId}`.execute(db)
}

export const countersOf = (usage: Usage): Counters => ({
  life: usage.life,
  cpuSeconds: usage.cpuSeconds.value,
  cpuQuality: usage.cpuSeconds.quality,
  diskBytes: usage.diskBytes?.value ?? null,
  networkBytes: usage.networkBytes?.value ?? null,
})

const meterOf = (row: MeterRow): Meter => ({
  life: row.life,
  cpuTakenUs: Number(row.cpu_taken_us),
  cpuOwedUs: Number(row.cpu_owed_us),
  cpuTotalUs: Number(row.cpu_total_us),
  runId: row.run_id as RunId | null,
  isRunClosed: row.run_closed,
  wallChargedSeconds: Number(row.wall_charged_seconds),
  diskChargedBytes: row.disk_charged_bytes === null ? null : Number(row.disk_charged_bytes),
  networkTakenBytes: Number(row.network_taken_bytes),
  takenAtMs: row.charged_at.getTime(),
  round: Number(row.round),
})

const columnsOf = (meter: Meter) => ({
  life: meter.life,
  cpu_taken_us: BigInt(meter.cpuTakenUs),
  cpu_owed_us: BigInt(meter.cpuOwedUs),
  cpu_total_us: BigInt(meter.cpuTotalUs),
  run_id: meter.runId,
  run_closed: meter.isRunClosed,
  wall_charged_seconds: BigInt(meter.wallChargedSeconds),
  disk_charged_bytes: meter.diskChargedBytes === null ? null : BigInt(meter.diskChargedBytes),
  network_taken_bytes: BigInt(meter.networkTakenBytes),
  charged_at: new Date(meter.takenAtMs),
  round: BigInt(meter.round),
})

/** A peak is one of the whole life: a look that could not tell takes nothing back. */
function seenSince(row: MeterRow, usage: Usage) {
  const now = seenIn(usage)
  const isLarger = row.life !== usage.life || now.peak_memory_bytes > row.peak_memory_bytes
  return { ...now, peak_memory_bytes: isLarger ? now.peak_memory_bytes : row.peak_memory_bytes }
}

const seenIn = (usage: Usage) => ({
  peak_memory_bytes: BigInt(usage.peakMemoryBytes.value),
  quality: usage.cpuSeconds.quality,
  ...(usage.diskBytes === null ? {} : { disk_bytes: BigInt(usage.diskBytes.value) }),
})
