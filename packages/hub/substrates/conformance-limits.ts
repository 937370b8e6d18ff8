/** Conformance of limits and measures: a machine is held to what it may take, its counters begin with each life, and what is over it stops nobody else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MachineId, MachineLimits } from '@autovibe/contract'
import { judge } from '@autovibe/core/limits/verdict.ts'
import { type ConformanceStage, signal } from './conformance-stage.ts'
import type { Usage } from './substrate.ts'

const MIB = 1024 ** 2

export function limitCases(stage: ConformanceStage): void {
  const { create, running, script, power, seen } = stage
  const small = (change: Partial<MachineLimits>): MachineLimits => ({ ...stage.substrate.capabilities().defaultLimits, ...change })
  const measure = (machineId: MachineId) => stage.substrate.measure(machineId, signal)

  const reached = (limits: MachineLimits, usage: Usage) => judge('conform', limits, { ...usage, workedSeconds: null })?.limit

  /** Starts something in the machine that may take the agent with it, and so may never be answered. */
  const unleash = (machineId: MachineId, text: string) => script(machineId, `(${text}) >/dev/null 2>&1 &`)

  test('what was never started has no measures, and each life counts from zero', async () => {
    const machineId = await create()
    assert.equal(await measure(machineId), null)
    await stage.substrate.start(machineId, signal)
    await script(machineId, 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done')
    const first = await seen(machineId, 'processor time', ({ cpuSeconds }) => cpuSeconds.value > 0.05)
    assert.ok(first.peakMemoryBytes.value >= first.memoryBytes.value && first.memoryBytes.value > MIB)
    await stage.substrate.stop(machineId, signal)
    const over = await measure(machineId)
    assert.ok(over !== null && over.life === first.life && over.cpuSeconds.value >= first.cpuSeconds.value)
    assert.deepEqual([over.processes.value, over.memoryBytes.value], [0, 0])
    await stage.substrate.start(machineId, signal)
    const second = await seen(machineId, 'a new life', ({ life }) => life !== first.life)
    assert.ok(second.cpuSeconds.value < over.cpuSeconds.value || over.cpuSeconds.quality === 'estimated')
  })

  test('memory beyond the limit is seen as such, and the neighbour goes on', async () => {
    const limits = small({ memory_bytes: 128 * MIB })
    const [machineId, neighbour] = [await running(null, limits), await running()]
    await unleash(machineId, `exec node -e 'const all = []; while (all.length < 300) all.push(Buffer.alloc(${MIB}, 1)); setInterval(() => all, 1e6)'`)
    await seen(machineId, 'the memory limit', (usage) => reached(limits, usage) === 'memory')
    await stage.substrate.stop(machineId, signal)
    assert.equal(await power(machineId), 'stopped')
    assert.equal((await script(neighbour, 'echo here')).output.toString(), 'here\n')
  })

  test('a fork bomb is held to its number, seen as such, and ended', async () => {
    const limits = small({ processes: 64 })
    const [machineId, neighbour] = [await running(null, limits), await running()]
    await unleash(machineId, 'for i in $(seq 1 100); do sleep 1000 & done; wait')
    const usage = await seen(machineId, 'the limit of processes', (each) => reached(limits, each) === 'processes')
    if (usage.processes.quality === 'measured') assert.ok(usage.processes.value <= limits.processes)
    await stage.substrate.stop(machineId, signal)
    assert.equal(await power(machineId), 'stopped')
    assert.equal((await script(neighbour, 'echo here')).output.toString(), 'here\n')
  })

  for (const [name, fill] of [
    ['one huge file', 'dd if=/dev/zero of=project/huge bs=1M count=100'],
    ['many small files', 'mkdir project/many; for i in $(seq 1 3000); do head -c 20000 /dev/zero >project/many/$i || exit; done'],
  ] as const)
    test(`a disk that is filled with ${name} is seen as such`, async () => {
      const limits = small({ disk_bytes: 50 * MIB })
      const machineId = await running(null, limits)
      await unleash(machineId, fill)
      const usage = await seen(machineId, 'the disk limit', (each) => reached(limits, each) === 'disk')
      // A single file cannot be larger than all of them may be.
      if (name === 'one huge file') assert.ok((usage.diskBytes?.value ?? 0) < 60 * MIB)
    })

  test('what a snapshot holds still counts for the machine that made it', async () => {
    const machineId = await running()
    await script(machineId, `dd if=/dev/zero of=project/kept bs=1M count=8 2>/dev/null`)
    await seen(machineId, 'the file', ({ diskBytes }) => (diskBytes?.value ?? 0) >= 8 * MIB)
    await stage.substrate.snapshot(machineId, stage.newCheckpoint(), signal)
    await script(machineId, `dd if=/dev/zero of=project/more bs=1M count=4 2>/dev/null`)
    await seen(machineId, 'both files', ({ diskBytes }) => (diskBytes?.value ?? 0) >= 12 * MIB)
  })

  test('a limit that is raised holds at once or from the next start on', async () => {
    const limits = small({ processes: 64 })
    const machineId = await running(null, limits)
    await stage.substrate.limit(machineId, small({ processes: 256 }), signal)
    await stage.substrate.stop(machineId, signal)
    await stage.substrate.start(machineId, signal)
    await script(machineId, 'pids=; for i in $(seq 1 100); do sleep 1000 & pids="$pids $!"; done; kill $pids')
    assert.equal(reached(small({ processes: 256 }), await seen(machineId, 'anything', () => true)), undefined)
    await stage.substrate.limit('mch_00000000000000000000000000' as MachineId, limits, signal)
  })
}
