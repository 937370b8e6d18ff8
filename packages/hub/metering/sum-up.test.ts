/** Old readings of meters, added up on a real PostgreSQL: no sum over them changes, whoever forms it. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type MachineId, Resource, UsageQuery } from '@autovibe/contract'
import { DAY_MS, summedBefore } from '@autovibe/core/metering/sums.ts'
import fc from 'fast-check'
import { sql } from 'kysely'
import { listUsageEvents } from '../api/read/usage-events.ts'
import type { Consumption, Subject } from '../ledger/ledger.ts'
import { openTestLedger, spend } from '../ledger/testing.ts'
import { pay } from './pay.ts'
import { sumUpReadings } from './sum-up.ts'

const { database, runtime, ledger, scene, hold, advance } = await openTestLedger()
const { db } = database
after(() => database.close())

const signal = new AbortController().signal
const METERED = ['cpu_seconds', 'wall_seconds', 'storage_bytes', 'network_bytes'] as const
let keys = 0

type Machine = Subject & { readonly machineId: MachineId }

async function newMachine(): Promise<Machine> {
  const { projectId, runId } = await scene({ organisation: 1000n, project: 1000n, run: 1000n })
  const { machine_id: machineId } = await db.selectFrom('runs').select('machine_id').where('id', '=', runId).executeTakeFirstOrThrow()
  return { projectId, machineId, runId }
}

interface Reading {
  readonly resource: (typeof METERED)[number]
  readonly amount: number
  readonly quality: 'measured' | 'estimated'
  readonly ofRun: boolean
  readonly agoMs: number
}

const consumption = ({ projectId, machineId, runId }: Machine, { resource, amount, quality, ofRun }: Reading): Consumption => ({
  projectId,
  machineId,
  runId: ofRun ? runId : null,
  resource,
  amount: BigInt(amount),
  quality,
  cost: 0n,
  detail: { service: 'meter', ...(resource === 'cpu_seconds' ? { peak_memory_bytes: amount * 2 } : {}) },
})

/** Written as the meter does, at its own time. */
async function write(machine: Machine, reading: Reading, key = `meter ${machine.machineId} ${keys++} ${reading.resource}`): Promise<string> {
  await db.transaction().execute((tx) => ledger.record(tx, consumption(machine, reading), key))
  await db
    .updateTable('usage_events')
    .set({ at: new Date(runtime.now().getTime() - reading.agoMs) })
    .where('report_key', '=', key)
    .execute()
  return key
}

const rowsOf = ({ machineId }: Machine) => db.selectFrom('usage_events').selectAll().where('machine_id', '=', machineId).orderBy('id').execute()

/** What anybody can add up: by day, by run, by resource, by quality. */
async function sums({ machineId }: Machine): Promise<unknown[]> {
  const { rows } = await sql`
    select date_trunc('day', at at time zone 'UTC')::text as day, run_id, resource, quality, sum(amount)::text as amount, sum(cost)::text as cost
    from usage_events where machine_id = ${machineId} group by 1, 2, 3, 4 order by 1, 2, 3, 4`.execute(db)
  return rows
}

async function told(machine: Machine): Promise<Record<string, bigint>> {
  const total: Record<string, bigint> = {}
  for (const resource of Resource.options) {
    for (let cursor: string | undefined; ; ) {
      const page = await listUsageEvents(db, UsageQuery.parse({ machine: machine.machineId, resource, limit: 20, cursor }))
      for (const { amount } of page.items) total[resource] = (total[resource] ?? 0n) + BigInt(amount)
      if (page.next_cursor === null) break
      cursor = page.next_cursor
    }
  }
  return total
}

const reading = fc.record({
  resource: fc.constantFrom(...METERED),
  amount: fc.integer({ min: 1, max: 2 ** 48 }),
  quality: fc.constantFrom('measured' as const, 'estimated' as const),
  ofRun: fc.boolean(),
  agoMs: fc.integer({ min: 0, max: 12 * DAY_MS }),
})

test('whatever is added up, all sums are as before, and what was added up once is left alone', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(reading, { minLength: 1, maxLength: 40 }), async (readings) => {
      const machine = await newMachine()
      for (const each of readings) await write(machine, each)
      const [before, toldBefore, rowsBefore] = [await sums(machine), await told(machine), await rowsOf(machine)]
      const nowMs = runtime.now().getTime()
      await sumUpReadings(db, nowMs, signal)
      assert.deepEqual(await sums(machine), before)
      assert.deepEqual(await told(machine), toldBefore)
      const rows = await rowsOf(machine)
      const old = rows.filter(({ at }) => at.getTime() < summedBefore(nowMs))
      assert.equal(old.length, before.filter((sum) => Date.parse(`${(sum as { day: string }).day}Z`) < summedBefore(nowMs)).length)
      const young = rowsBefore.filter(({ at }) => at.getTime() >= summedBefore(nowMs))
      assert.deepEqual(
        rows.filter(({ at }) => at.getTime() >= summedBefore(nowMs)),
        young,
      )
      assert.deepEqual(await sumUpReadings(db, nowMs, signal), { readings: 0, rows: 0 })
      assert.deepEqual(await rowsOf(machine), rows)
    }),
    { numRuns: 25 },
  )
  assert.deepEqual((await ledger.audit()).findings, [])
})

test('a sum says how many readings it stands for, since when, and the highest peak among them', async () => {
  const machine = await newMachine()
  const one = { resource: 'cpu_seconds', quality: 'measured', ofRun: true, agoMs: 9 * DAY_MS } as const
  for (const amount of [10, 30, 20]) await write(machine, { ...one, amount })
  const before = await rowsOf(machine)
  await sumUpReadings(db, runtime.now().getTime(), signal)
  const [row, ...others] = await rowsOf(machine)
  assert.deepEqual(others, [])
  assert.deepEqual([row?.id, row?.amount, row?.report_key, row?.at], [before[2]?.id, 60n, before[2]?.report_key, before[2]?.at])
  assert.deepEqual([row?.detail['service'], row?.detail['readings'], row?.detail['peak_memory_bytes']], ['meter', 3, 60])
  assert.equal(Date.parse(String(row?.detail['since'])), before[0]?.at.getTime())
})

test('what a budget was charged with, what others reported and model calls stay row by row', async () => {
  const machine = await newMachine()
  const budgetId = await db
    .transaction()
    .execute((tx) => ledger.openBudget(tx, { scope: 'machine', scopeId: machine.machineId, parentId: null, resource: 'cpu_seconds', limit: 1_000n }))
  const metered = { resource: 'cpu_seconds', amount: 5, quality: 'measured', ofRun: true, agoMs: 0 } as const
  for (let count = 0; count < 3; count++) await ledger.charge(`meter ${machine.machineId} ${keys++} cpu_seconds`, consumption(machine, metered), budgetId)
  for (let count = 0; count < 3; count++) await write(machine, { ...metered, resource: 'network_bytes' }, `report ${keys++}`)
  const at = await scene({ organisation: 100n, project: 100n, run: 100n })
  await ledger.settle((await hold(at.run, 10n)).id, spend(at, 10n))
  const before = await rowsOf(machine)
  advance(30 * DAY_MS)
  await sumUpReadings(db, runtime.now().getTime(), signal)
  assert.deepEqual(await rowsOf(machine), before)
  assert.deepEqual((await ledger.audit()).findings, [])
})

test('what a Hub had written down when it died, a month ago, is not paid twice', async () => {
  const machine = await newMachine()
  const old = { resource: 'cpu_seconds', amount: 5, quality: 'measured', ofRun: true, agoMs: 20 * DAY_MS } as const
  const charges = [0, 1].map(() => ({ key: `meter ${machine.machineId} ${keys++} cpu_seconds`, runId: machine.runId, ...old }))
  await db
    .insertInto('machine_meters')
    .values({
      machine_id: machine.machineId,
      life: 'a',
      cpu_taken_us: 0n,
      cpu_owed_us: 0n,
      cpu_total_us: 0n,
      run_id: null,
      run_closed: true,
      wall_charged_seconds: 0n,
      disk_charged_bytes: null,
      disk_bytes: null,
      peak_memory_bytes: 0n,
      quality: 'measured',
      charged_at: runtime.now(),
      round: 1n,
      pending: JSON.stringify(charges),
    })
    .execute()
  for (const { key } of charges) await write(machine, old, key)
  await write(machine, old)
  await sumUpReadings(db, runtime.now().getTime(), signal)
  await pay({ db, ledger }, machine.machineId, charges, {})
  assert.deepEqual(await told(machine), { cpu_seconds: 15n })
  await db.updateTable('machine_meters').set({ pending: '[]' }).where('machine_id', '=', machine.machineId).execute()
  await sumUpReadings(db, runtime.now().getTime(), signal)
  assert.deepEqual(await told(machine), { cpu_seconds: 15n })
  assert.equal((await rowsOf(machine)).length, 2, 'one that was added up before is left alone')
})

test('a look that is ended leaves whole days, and the next goes on', async () => {
  const machine = await newMachine()
  const one = { resource: 'wall_seconds', amount: 5, quality: 'measured', ofRun: true } as const
  for (const days of [12, 12, 10, 10]) await write(machine, { ...one, agoMs: days * DAY_MS })
  assert.deepEqual(await sumUpReadings(db, runtime.now().getTime(), AbortSignal.abort()), { readings: 0, rows: 0 })
  assert.deepEqual(await sumUpReadings(db, runtime.now().getTime(), signal), { readings: 4, rows: 2 })
})
