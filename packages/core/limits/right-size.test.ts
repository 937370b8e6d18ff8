import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addBusy, type BusyTimes, busyIn, lowerCores, stepOf, upperCores } from './busy-times.ts'
import { HEADROOM, RUNS_LEAST, type RunUse, rightSize, SEEN_LEAST_MS, seenMs } from './right-size.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const MOST = { cores: 16, memoryBytes: 64 * GIB, diskBytes: 500 * GIB }
const NOW = { cores: 4, memory_bytes: 8 * GIB, disk_bytes: 20 * GIB }
const busy = (...all: readonly (readonly [cores: number, ms: number])[]): BusyTimes =>
  all.reduce((times: BusyTimes, [cores, ms]) => addBusy(times, cores, ms), {})
const use = (change: Partial<RunUse> = {}): RunUse => ({
  limits: NOW,
  busyMs: busy([0.5, SEEN_LEAST_MS]),
  peakMemoryBytes: GIB,
  wasMemoryRefused: false,
  peakDiskBytes: 2 * GIB,
  ...change,
})

const limits = fc.record({
  cores: fc.double({ min: 0.05, max: 32, noNaN: true }),
  memory_bytes: fc.integer({ min: 64 * MIB, max: 128 * GIB }),
  disk_bytes: fc.integer({ min: 16 * MIB, max: 900 * GIB }),
})
const anyUse: fc.Arbitrary<RunUse> = fc
  .tuple(
    limits,
    fc.array(fc.tuple(fc.double({ min: 0, max: 32, noNaN: true }), fc.integer({ min: 1, max: 10 ** 7 })), { minLength: 1, maxLength: 8 }),
    fc.nat(64 * GIB),
    fc.boolean(),
    fc.option(fc.nat(500 * GIB)),
  )
  .map(([held, times, peakMemoryBytes, wasMemoryRefused, peakDiskBytes]) => ({
    limits: held,
    busyMs: busy([0, SEEN_LEAST_MS], ...times),
    peakMemoryBytes,
    wasMemoryRefused,
    peakDiskBytes,
  }))
const uses = fc.array(anyUse, { minLength: RUNS_LEAST, maxLength: 10 })

test('a step holds what is between its edges, and time is added up', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 4096, noNaN: true }), (cores) => {
      const step = stepOf(cores)
      assert.ok(cores <= upperCores(step) && (cores > lowerCores(step) * (1 - 1e-12) || step === 0), `${cores} in ${step}`)
    }),
  )
  assert.deepEqual(busy([1, 10], [1, 5], [0, 1], [2, -3], [Number.NaN, 4]), { [stepOf(1)]: 15, '0': 1 })
})

test('a stretch of a run counts by its exact time, without its pauses, and not when it is too short to say anything', () => {
  assert.deepEqual(busyIn({}, { cpuUs: 15e6, elapsedMs: 30_000, workedMs: 29_400 }), busy([0.5, 30_000]))
  assert.deepEqual(busyIn({}, { cpuUs: 10e6, elapsedMs: 600_000, workedMs: 10_000 }), busy([1, 10_000]))
  assert.deepEqual(busyIn({}, { cpuUs: 1e6, elapsedMs: 1_500, workedMs: 1_000 }), {})
})

test('nothing is proposed of too few runs or too short ones', () => {
  assert.equal(rightSize([], NOW, MOST), null)
  assert.equal(rightSize([use(), use()], NOW, MOST), null)
  const short = use({ busyMs: busy([1, SEEN_LEAST_MS / 3 - 1]) })
  assert.equal(rightSize([short, short, short], NOW, MOST), null)
  assert.notEqual(rightSize([use(), use(), use()], NOW, MOST), null)
})

test('it is never below what was seen with its headroom, but where there is no more, and never above that', () => {
  fc.assert(
    fc.property(uses, limits, (all, now) => {
      const proposal = rightSize(all, now, MOST)
      assert.ok(proposal)
      const memory = Math.max(
        ...all.map(({ peakMemoryBytes: peak, wasMemoryRefused, limits: held }) => {
          const wanted = peak * (1 + HEADROOM.memory)
          // A limit that refused nothing was enough.
          return wasMemoryRefused || peak > held.memory_bytes ? wanted : Math.min(wanted, held.memory_bytes)
        }),
      )
      assert.ok(proposal.memory_bytes.proposed >= Math.min(MOST.memoryBytes, memory))
      const disk = Math.max(0, ...all.map(({ peakDiskBytes }) => peakDiskBytes ?? 0))
      assert.ok((proposal.disk_bytes?.proposed ?? 0) >= (proposal.disk_bytes === null ? 0 : Math.min(MOST.diskBytes, disk * (1 + HEADROOM.disk))))
      const enough = proposal.cores.proposed / (1 + HEADROOM.cores)
      const above = all
        .flatMap(({ busyMs }) => Object.entries(busyMs))
        .reduce((sum, [step, ms]) => sum + (upperCores(Number(step)) > enough * (1 + 1e-9) ? ms : 0), 0)
      assert.ok(proposal.cores.proposed === MOST.cores || above <= seenMs(all) * 0.05 * (1 + 1e-9) + 1)
      const steps = all.flatMap(({ busyMs }) =>
        Object.entries(busyMs).map(([step, ms]) => ({ cores: upperCores(Number(step)), work: ms * upperCores(Number(step)) })),
      )
      const work = steps.reduce((sum, each) => sum + each.work, 0)
      const beyond = steps.reduce((sum, each) => sum + (each.cores > enough * (1 + 1e-9) ? each.work : 0), 0)
      assert.ok(proposal.cores.proposed === MOST.cores || (beyond <= work * 0.05 * (1 + 1e-9) && enough * (1 + 1e-9) >= work / seenMs(all)))
      assert.ok(proposal.cores.proposed <= MOST.cores && proposal.memory_bytes.proposed <= MOST.memoryBytes)
      assert.ok((proposal.disk_bytes?.proposed ?? 0) <= MOST.diskBytes)
    }),
  )
})

test('who used more is proposed no less', () => {
  const more = fc.record({ times: fc.double({ min: 1, max: 4, noNaN: true }), memory: fc.nat(8 * GIB), disk: fc.nat(80 * GIB) })
  fc.assert(
    fc.property(uses, more, fc.nat(), limits, (all, { times, memory, disk }, which, now) => {
      const larger = all.map((each, index) =>
        index !== which % all.length
          ? each
          : {
              ...each,
              // Longer at more than anybody else: more work at little would make what is seldom weigh less.
              busyMs: addBusy(each.busyMs, 4000, times * SEEN_LEAST_MS),
              peakMemoryBytes: each.peakMemoryBytes + memory,
              peakDiskBytes: each.peakDiskBytes === null ? null : each.peakDiskBytes + disk,
            },
      )
      const [before, after] = [rightSize(all, now, MOST), rightSize(larger, now, MOST)]
      assert.ok(before && after)
      assert.ok(after.cores.proposed >= before.cores.proposed && after.memory_bytes.proposed >= before.memory_bytes.proposed)
      assert.ok((after.disk_bytes?.proposed ?? 0) >= (before.disk_bytes?.proposed ?? 0))
    }),
  )
})

test('each proposal says why', () => {
  const quiet = rightSize([use(), use(), use()], NOW, MOST)
  assert.deepEqual([quiet?.cores.proposed, quiet?.memory_bytes.proposed, quiet?.disk_bytes?.proposed], [0.75, 11 * 128 * MIB, 3 * GIB])
  assert.equal(quiet?.cores.reason, 'in 95 % of the processor time at most 0.5 processors busy, and 25 % on top')
  assert.equal(quiet?.memory_bytes.reason, 'no run took more than 1.0 GiB, and 30 % on top')

  const pressed = use({ busyMs: busy([4, SEEN_LEAST_MS]), peakMemoryBytes: 8 * GIB, wasMemoryRefused: true, peakDiskBytes: null })
  const more = rightSize([pressed, pressed, pressed], NOW, MOST)
  assert.deepEqual([more?.cores.proposed, more?.memory_bytes.proposed, more?.disk_bytes], [8, 16 * GIB, null])
  assert.match(more?.cores.reason ?? '', /^kept 4 processors busy, nearly all that it had, for more than 5 % of the processor time/)
  assert.match(more?.memory_bytes.reason ?? '', /^a run took 8\.0 GiB, nearly all that it had/)

  const small = rightSize([pressed, pressed, pressed], NOW, { ...MOST, cores: 4, memoryBytes: 8 * GIB })
  assert.deepEqual([small?.cores.proposed, small?.memory_bytes.proposed], [4, 8 * GIB])
  assert.match(small?.cores.reason ?? '', /but there is no more to be had$/)
})

test('one busy moment in three hundred is no reason for more processors', () => {
  const bursty = use({ busyMs: busy([0.5, 299 * SEEN_LEAST_MS], [3, SEEN_LEAST_MS]) })
  assert.equal(rightSize([bursty, bursty, bursty], NOW, MOST)?.cores.proposed, 0.75)
})

test('a build that is short is what processors are for: time at rest around it makes them no fewer', () => {
  const building = use({ busyMs: busy([0.05, 97 * SEEN_LEAST_MS], [3, 3 * SEEN_LEAST_MS]) })
  const proposal = rightSize([building, building, building], NOW, MOST)
  assert.ok((proposal?.cores.proposed ?? 0) >= 3.75, JSON.stringify(proposal?.cores))
})

test('files just used fill all memory that there is, and proposals do not climb after them', () => {
  const full = use({ peakMemoryBytes: NOW.memory_bytes })
  const proposal = rightSize([full, full, full], NOW, MOST)
  assert.equal(proposal?.memory_bytes.proposed, NOW.memory_bytes)
  assert.equal(proposal?.memory_bytes.reason, 'a run took 8.0 GiB, with files just used, and what it had was enough')
})
