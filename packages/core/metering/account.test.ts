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
