import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MachineLimits } from '@autovibe/contract'
import { chooseLimits, limitsOfHost } from './choose.ts'
import { floorOf, judge, judgeRoom, reasonOf, type Taken } from './verdict.ts'
import { bytesInWords, secondsInWords } from './words.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const LIMITS: MachineLimits = { cores: 1, memory_bytes: 2 * GIB, processes: 64, disk_bytes: 50 * MIB, wall_seconds: 3600 }
const measured = (value: number) => ({ value, quality: 'measured' as const })
const estimated = (value: number) => ({ value, quality: 'estimated' as const })
const QUIET: Taken = {
  peakMemoryBytes: measured(GIB),
  processes: measured(20),
  diskBytes: estimated(10 * MIB),
  refused: { memory: 0, processes: 0 },
  workedSeconds: 60,
}
const LOOKED_AT: Taken = { ...QUIET, peakMemoryBytes: estimated(GIB), processes: estimated(20), refused: { memory: null, processes: null } }
const reason = (taken: Taken): string | null => {
  const verdict = judge('calm-otter', LIMITS, taken)
  return verdict && reasonOf(verdict)
}

test('a machine within its limits goes on, up to the last byte and process that the kernel counts', () => {
  assert.equal(reason(QUIET), null)
  assert.equal(reason(LOOKED_AT), null)
  assert.equal(reason({ ...QUIET, diskBytes: null, workedSeconds: null }), null)
  assert.equal(reason({ ...QUIET, peakMemoryBytes: measured(2 * GIB), processes: measured(64) }), null, 'where the kernel counts, only what it refused counts')
  assert.equal(reason({ ...LOOKED_AT, peakMemoryBytes: estimated(2 * GIB) }), null)
})

test('each limit is told with what was used and the command that raises it', () => {
  assert.deepEqual(
    [
      reason({ ...QUIET, refused: { memory: 1, processes: 0 } }),
      reason({ ...LOOKED_AT, peakMemoryBytes: estimated(2.5 * GIB) }),
      reason({ ...QUIET, refused: { memory: 0, processes: 3 } }),
      reason({ ...LOOKED_AT, processes: estimated(64) }),
      reason({ ...QUIET, diskBytes: estimated(51 * MIB) }),
      reason({ ...QUIET, workedSeconds: 3600.4 }),
    ],
    [
      'memory: 2.0 GiB limit reached (out-of-memory kill). Raise it: autovibe machine limits calm-otter --memory 4GiB',
      'memory: 2.0 GiB limit reached (about 2.5 GiB in use). Raise it: autovibe machine limits calm-otter --memory 4GiB',
      'processes: limit of 64 reached (another one was refused). Raise it: autovibe machine limits calm-otter --processes 128',
      'processes: limit of 64 reached (64 counted). Raise it: autovibe machine limits calm-otter --processes 128',
      'disk: 50.0 MiB limit reached (51.0 MiB in use). Raise it: autovibe machine limits calm-otter --disk 102MiB',
      'wall time: 1 h limit reached (at work for 1 h). Raise it: autovibe machine limits calm-otter --wall 120min',
    ],
  )
})

test('of several limits that are reached the one that broke something is told', () => {
  const all = { ...QUIET, refused: { memory: 1, processes: 1 }, diskBytes: estimated(GIB), workedSeconds: 1e6 }
  assert.equal(judge('m', LIMITS, all)?.limit, 'memory')
})

test('on a disk that runs full the machine that grew most ends first, and none that did not grow', () => {
  const room = { freeBytes: 100 * MIB, totalBytes: 100 * GIB, freeFiles: null }
  const machines = [
    { machine: 'small', grownBytes: 10 },
    { machine: 'big', grownBytes: 1000 },
    { machine: 'shrunk', grownBytes: -5 },
  ]
  assert.equal(judgeRoom(room, machines)?.machine.machine, 'big')
  assert.equal(judgeRoom(room, [{ machine: 'still', grownBytes: 0 }]), null)
  assert.equal(judgeRoom({ ...room, freeBytes: 2 * GIB }, machines), null)
  assert.match(judgeRoom({ ...room, freeBytes: 2 * GIB, freeFiles: 5 }, machines)?.verdict.sentence ?? '', /only room for 5 files is left/)
  assert.deepEqual([floorOf({ totalBytes: 10 * GIB }), floorOf({ totalBytes: 1000 * GIB })], [Math.floor((10 * GIB) / 100), GIB])
})

test('what is asked for goes before the project, and that before the host, each limit for itself', () => {
  assert.deepEqual(chooseLimits(LIMITS, { cores: 4 }, { cores: 2, processes: 99 }), { ...LIMITS, cores: 4, processes: 99 })
  assert.deepEqual(chooseLimits(LIMITS, undefined, null, {}), LIMITS)
})

test('every host has limits that the wire accepts', () => {
  for (const host of [
    { cores: 1, memoryBytes: 512 * MIB, diskBytes: GIB },
    { cores: 2, memoryBytes: 24 * GIB, diskBytes: 250 * GIB },
    { cores: 256, memoryBytes: 2048 * GIB, diskBytes: 100_000 * GIB },
  ])
    assert.ok(MachineLimits.safeParse(limitsOfHost(host)).success)
  assert.deepEqual(limitsOfHost({ cores: 2, memoryBytes: 24 * GIB, diskBytes: 250 * GIB }), {
    cores: 2,
    memory_bytes: 8 * GIB,
    processes: 2048,
    disk_bytes: 20 * GIB,
    wall_seconds: 86_400,
  })
})

test('amounts read as people say them', () => {
  assert.deepEqual([0, 1023, 1536, 2 * GIB].map(bytesInWords), ['0 B', '1023 B', '1.5 KiB', '2.0 GiB'])
  assert.deepEqual([0.4, 59, 60, 90, 3600, 5430].map(secondsInWords), ['0 s', '59 s', '1 min', '1 min 30 s', '1 h', '1 h 30 min'])
})
