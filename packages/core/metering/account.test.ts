import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MachineId, RunId } from '@autovibe/contract'
import fc from 'fast-check'
import { type Charge, type Counters, firstMeter, isDue, type Meter, type RunClock, takeInto } from './account.ts'

const MACHINE = 'mch_00000000000000000000000001' as MachineId
const [ONE, TWO] = ['run_00000000000000000000000001', 'run_00000000000000000000000002'] as [RunId, RunId]
const counters = (cpuSeconds: number, life = 'a', diskBytes: number | null = null, networkBytes: number | null = null): Counters => ({
  life,
  cpuSeconds,
  cpuQuality: 'measured',
  diskBytes,
  networkBytes,
})
const run = (id: RunId, workedMs: number, isOver = false): RunClock => ({ id, workedMs, isOver })
const told = (charges: readonly Charge[]) => charges.map(({ runId, resource, amount }) => `${runId?.at(-1) ?? '-'} ${resource} ${amount}`)
const fresh = (): Meter => firstMeter(counters(0), true, 0)
const take = (meter: Meter, counted: Counters | null, clock: RunClock | null, nowMs = 0) => takeInto(meter, MACHINE, counted, clock, nowMs)

test('whole units are charged while a run goes on, the rest at its end, rounded', () => {
  const first = take(fresh(), counters(2.7), run(ONE, 4_400))
  assert.deepEqual(told(first.charges), ['1 cpu_seconds 2', '1 wall_seconds 4'])
  const second = take(first.meter, counters(2.9), run(ONE, 4_900))
  assert.deepEqual(told(second.charges), [])
  const last = take(second.meter, counters(3.6), run(ONE, 5_600, true))
  assert.deepEqual(told(last.charges), ['1 cpu_seconds 2', '1 wall_seconds 2'])
  const after = take(last.meter, counters(9), run(ONE, 5_600, true))
  assert.deepEqual(told(after.charges), ['- cpu_seconds 5'], 'what the machine does after a run is no run’s')
})

test('a run that began and ended between two looks is charged whole', () => {
  assert.deepEqual(told(take(fresh(), counters(1.6), run(ONE, 700, true)).charges), ['1 cpu_seconds 2', '1 wall_seconds 1'])
})

test('another run takes over with what the last one owes paid', () => {
  const { meter } = take(fresh(), counters(2.7), run(ONE, 1_000))
  const next = take(meter, counters(4.2), run(TWO, 2_000))
  assert.deepEqual(told(next.charges), ['1 cpu_seconds 1', '2 cpu_seconds 1', '2 wall_seconds 2'])
  assert.equal(new Set(next.charges.map(({ key }) => key)).size, 3)
})

test('each life counts from zero, and a counter that goes back takes nothing away', () => {
  const { meter } = take(fresh(), counters(5), run(ONE, 0))
  assert.deepEqual(told(take(meter, counters(3, 'b'), run(ONE, 0)).charges), ['1 cpu_seconds 3'])
  const back = take(meter, counters(4), run(ONE, 0))
  assert.deepEqual(told(back.charges), [])
  assert.deepEqual(told(take(back.meter, counters(6), run(ONE, 0)).charges), ['1 cpu_seconds 1'])
  assert.deepEqual(told(take(meter, null, run(ONE, 1_000)).charges), ['1 wall_seconds 1'], 'without counters time goes on')
})

test('the disk is charged by its growth over the most so far; what a machine began with is not its own', () => {
  const { meter, charges } = take(fresh(), counters(0, 'a', 100), null)
  assert.deepEqual(told(charges), ['- storage_bytes 100'])
  const less = take(meter, counters(0, 'a', 40), null)
  assert.deepEqual(told(less.charges), [])
  assert.deepEqual(told(take(less.meter, counters(0, 'a', 150), null).charges), ['- storage_bytes 50'])
  const forked = firstMeter(counters(0), false, 0)
  assert.deepEqual(told(take(forked, counters(0, 'a', 1000), null).charges), [])
})

test('bytes of the network are charged by whole units, at the end of a run all of them, each once in a life', () => {
  const MIB = 1024 ** 2
  const first = take(fresh(), counters(0, 'a', null, 2.5 * MIB), run(ONE, 0))
  assert.deepEqual(told(first.charges), [`1 network_bytes ${2 * MIB}`])
  const last = take(first.meter, counters(0, 'a', null, 3 * MIB), run(ONE, 0, true))
  assert.deepEqual(told(last.charges), [`1 network_bytes ${MIB}`])
  assert.deepEqual(told(take(last.meter, counters(0, 'a', null, 100), run(ONE, 0, true)).charges), [], 'a counter that goes back')
  assert.deepEqual(told(take(last.meter, counters(0, 'b', null, 3 * MIB), run(ONE, 0, true)).charges), [`- network_bytes ${3 * MIB}`])
})

test('it is time at each end of a run or a life, and else only when there is something to charge and long enough since the last', () => {
  const { meter } = take(fresh(), counters(0), run(ONE, 0))
  const due = (counted: Counters | null, clock: RunClock | null, nowMs: number) => isDue(meter, MACHINE, counted, clock, nowMs)
  assert.equal(due(counters(50), run(ONE, 20_000), 29_999), false)
  assert.equal(due(counters(50), run(ONE, 20_000), 30_000), true)
  assert.equal(due(counters(0.5), run(ONE, 500), 3_000_000), false)
  assert.equal(due(counters(0), run(ONE, 0, true), 1), true)
  assert.equal(due(counters(0), run(TWO, 0), 1), true)
  assert.equal(due(counters(0, 'b'), run(ONE, 0), 1), true)
})

const HOUR_MS = 3_600_000
const look = (meter: Meter, counted: Counters | null, clock: RunClock | null, nowMs: number) => takeInto(meter, MACHINE, counted, clock, nowMs, 'worthwhile')

test('what is less than is worth a row is summed up until it is, until the hour is over, or until a run or a life ends', () => {
  const MIB = 1024 ** 2
  const little = look(fresh(), counters(4.5, 'a', 4096), run(ONE, 0), 60_000)
  assert.deepEqual([told(little.charges), little.hasGrown], [[], true])
  const still = look(little.meter, counters(4.9, 'a', 4096), run(ONE, 0), 120_000)
  assert.deepEqual([told(still.charges), still.hasGrown], [[], false], 'what has grown once is not written down again and again')
  const enough = look(still.meter, counters(11.5, 'a', MIB + 1), run(ONE, 0), 180_000)
  assert.deepEqual(told(enough.charges), ['1 cpu_seconds 11', `1 storage_bytes ${MIB + 1}`])

  assert.deepEqual(told(look(little.meter, counters(4.5, 'a', 4096), run(ONE, 0), HOUR_MS).charges), ['1 cpu_seconds 4', '1 storage_bytes 4096'])
  assert.deepEqual(told(look(little.meter, counters(4.5, 'a', 4096), run(ONE, 0, true), 120_000).charges), ['1 cpu_seconds 5', '1 storage_bytes 4096'])
  assert.deepEqual(told(take(little.meter, counters(4.5, 'a', 4096), run(ONE, 0), 120_000).charges), ['1 cpu_seconds 4', '1 storage_bytes 4096'])
  const next = look(little.meter, counters(5.5, 'a', 4096), run(TWO, 0), 120_000)
  assert.deepEqual(told(next.charges), ['1 cpu_seconds 5'], 'what the last run owes is its own')
})

test('a machine that does nothing is not even written down', () => {
  const { meter } = take(fresh(), counters(0.5, 'a', 0), run(ONE, 0))
  assert.equal(isDue(meter, MACHINE, counters(0.9, 'a', 0), run(ONE, 0), 3 * HOUR_MS), false)
  assert.equal(isDue(meter, MACHINE, counters(1.1, 'a', 0), run(ONE, 0), 60_000), true)
})

test('a machine at rest has a row of each resource in an hour, and time at work is never held back', () => {
  let meter = fresh()
  const rows: string[] = []
  for (let second = 0; second < 6 * 3600; second += 2) {
    const counted = counters(second / 400, 'a', second * 10)
    if (!isDue(meter, MACHINE, counted, null, second * 1000)) continue
    const taken = look(meter, counted, null, second * 1000)
    meter = taken.meter
    rows.push(...taken.charges.map(({ resource }) => resource))
  }
  assert.equal(rows.filter((resource) => resource === 'cpu_seconds').length, 5)
  assert.equal(rows.filter((resource) => resource === 'storage_bytes').length, 5)
  assert.deepEqual(told(look(fresh(), counters(0), run(ONE, 2_000), 0).charges), ['1 wall_seconds 2'])
})

test('what is held back is lost at no end and counted at none twice, however lives and runs follow each other', () => {
  const step = fc.record({
    cpuMs: fc.nat(9_000),
    diskBytes: fc.nat(3_000_000),
    networkBytes: fc.nat(3_000_000),
    passedMs: fc.nat(HOUR_MS),
    event: fc.constantFrom('none', 'life', 'run'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let meter = fresh()
      let [cpuMs, lifeCpuMs, diskBytes, networkBytes, lifeNetworkBytes, life, runs, nowMs] = [0, 0, 0, 0, 0, 0, 0, 0]
      const sums: Record<Charge['resource'], number> = { cpu_seconds: 0, storage_bytes: 0, network_bytes: 0, wall_seconds: 0 }
      const now = (isOver: boolean, extent: 'all' | 'worthwhile'): void => {
        const counted = counters(lifeCpuMs / 1000, `life ${life}`, diskBytes, lifeNetworkBytes)
        const taken = takeInto(meter, MACHINE, counted, run(runs % 2 === 0 ? ONE : TWO, 0, isOver), nowMs, extent)
        for (const { resource, amount } of taken.charges) sums[resource] += amount
        meter = taken.meter
      }
      for (const next of steps) {
        cpuMs += next.cpuMs
        lifeCpuMs += next.cpuMs
        diskBytes += next.diskBytes
        networkBytes += next.networkBytes
        lifeNetworkBytes += next.networkBytes
        nowMs += next.passedMs
        now(next.event === 'run', 'worthwhile')
        if (next.event === 'run') runs += 1
        if (next.event !== 'life') continue
        now(false, 'all')
        life += 1
        lifeCpuMs = 0
        lifeNetworkBytes = 0
      }
      now(true, 'all')
      assert.equal(sums.storage_bytes, diskBytes)
      assert.ok(Math.abs(sums.cpu_seconds - cpuMs / 1000) <= 0.5 * (runs + 1))
      assert.ok(networkBytes - sums.network_bytes < (life + 1) * 1024 ** 2 && sums.network_bytes <= networkBytes)
    }),
  )
})

test('however often it is looked, and whichever looks are lost, all that was used is charged once', () => {
  const step = fc.record({ cpuMs: fc.nat(5_000), newLife: fc.boolean(), isLost: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let meter = fresh()
      let [counterMs, totalMs, life, charged] = [0, 0, 0, 0]
      const keys = new Set<string>()
      const look = (isOver: boolean): void => {
        const taken = take(meter, counters(counterMs / 1000, life === 0 ? 'a' : `life ${life}`), run(ONE, 0, isOver))
        meter = taken.meter
        for (const { resource, amount, key } of taken.charges) {
          assert.ok(!keys.has(key))
          keys.add(key)
          if (resource === 'cpu_seconds') charged += amount
        }
      }
      for (const { cpuMs, newLife, isLost } of steps) {
        counterMs += cpuMs
        totalMs += cpuMs
        if (!isLost) look(false)
        if (newLife) {
          // A life ends with a last look.
          look(false)
          life += 1
          counterMs = 0
        }
      }
      look(true)
      assert.ok(Math.abs(charged - totalMs / 1000) <= 0.5)
      assert.equal(meter.cpuTotalUs, totalMs * 1000)
    }),
  )
})
