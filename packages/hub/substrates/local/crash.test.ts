import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { CheckpointId } from '@autovibe/contract'
import { seeds } from '../../../../test/support/seeds.ts'
import { systemRuntime } from '../../runtime.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { accountAfter, accountFromInside } from '../conformance-tree.ts'
import { TestGround, type Tiers } from './test-ground.ts'

const ROUNDS = seeds(8).count
/** Longer than one whole turn of the driver, so that every call is hit in some round. */
const LATEST_KILL_MS = 400
const signal = new AbortController().signal

for (const { isWarm = false, ...tiers } of [{}, { isWarm: true }, { copy: 'C1' }] satisfies (Tiers & { isWarm?: boolean })[]) {
  test(`a Hub killed in any call leaves machines and snapshots that the next one goes on with ${JSON.stringify({ ...tiers, isWarm })}`, async (t) => {
    const ground = await TestGround.make(tiers)
    const machineId = systemRuntime.newId('machine')
    const checkpoints = new Set<CheckpointId>()
    for (let round = 0; round < ROUNDS; round++) {
      const killAfterMs = Math.floor((LATEST_KILL_MS * (round + Math.random())) / ROUNDS)
      const taken = await workUntilKilled([machineId, ground.options(), isWarm], killAfterMs, checkpoints)
      const door = new ConformanceDoor()
      const substrate = await ground.open(door)
      try {
        const about = `killed after ${killAfterMs} ms in round ${round}`
        // What was said to be taken is there; what was asked for is there or can be asked for again.
        for (const checkpointId of taken) await accountAfter(new Map(), substrate.changes(checkpointId, null, signal))
        await substrate.create({ machineId, name: 'crash', from: null, token: 'token' }, signal)
        await substrate.start(machineId, signal)
        for (const checkpointId of checkpoints) if (!taken.has(checkpointId)) await substrate.snapshot(machineId, checkpointId, signal)
        assert.equal((await door.run(machineId, `echo ${round} >>project/rounds; mkdir project/folder${round}`)).code, 0, about)
        const checkpointId = systemRuntime.newId('checkpoint')
        const { handle } = await substrate.snapshot(machineId, checkpointId, signal)
        const inside = await accountFromInside(door, machineId)
        assert.deepEqual((await accountAfter(new Map(), substrate.changes(handle, null, signal))).account, inside, about)
        const lines = (await door.run(machineId, 'cat project/rounds')).output.toString().trim().split('\n')
        assert.deepEqual(
          lines,
          Array.from({ length: round + 1 }, (_, line) => String(line)),
          about,
        )
        for (const done of [...checkpoints, checkpointId]) await substrate.dropSnapshot(done, signal)
        checkpoints.clear()
        assert.deepEqual(
          (await substrate.list(signal)).map((machine) => machine.machineId),
          [machineId],
        )
        if (round === ROUNDS - 1) await substrate.destroy(machineId, signal)
      } finally {
        await door.closeAll()
      }
    }
    await ground.dispose()
    t.diagnostic(`${ROUNDS} kills`)
  })
}

/** Runs the driver and kills it so long after it was ready; answers which snapshots it had said were taken. */
async function workUntilKilled(driven: readonly unknown[], killAfterMs: number, asked: Set<CheckpointId>): Promise<Set<CheckpointId>> {
  const driver = fileURLToPath(new URL('crash-driver.ts', import.meta.url))
  const child = spawn(process.execPath, [driver, JSON.stringify(driven)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const taken = new Set<CheckpointId>()
  const closed = once(child, 'close')
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  createInterface(child.stdout).on('line', (line) => {
    const said = JSON.parse(line) as { ready?: true; asked?: CheckpointId; taken?: CheckpointId }
    if (said.ready) resolve()
    if (said.asked) asked.add(said.asked)
    if (said.taken) taken.add(said.taken)
  })
  await Promise.race([ready, closed])
  await Promise.race([delay(killAfterMs), closed])
  assert.equal(child.exitCode, null, 'the driver ended by itself')
  child.kill('SIGKILL')
  await closed
  return taken
}
