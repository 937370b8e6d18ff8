/** Conformance of the life of a machine: its calls may be repeated and cancelled, and its token stays its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRuntime } from '../runtime.ts'
import { type ConformanceStage, EMPTY, endsWith, signal, TOKEN } from './conformance-stage.ts'
import { accountAfter } from './conformance-tree.ts'

export function lifeCases(stage: ConformanceStage): void {
  const { create, running, script, newCheckpoint, power } = stage

  test('create, start, stop and destroy may be repeated, and the list tells what is', async () => {
    const machineId = systemRuntime.newId('machine')
    stage.machines.add(machineId)
    assert.equal(await power(machineId), undefined)
    await stage.substrate.stop(machineId, signal)
    for (let twice = 0; twice < 2; twice++) {
      await stage.substrate.create({ machineId, name: 'conform', from: null, token: TOKEN }, signal)
      assert.equal(await power(machineId), 'stopped')
    }
    for (let twice = 0; twice < 2; twice++) {
      await stage.substrate.start(machineId, signal)
      assert.equal(await power(machineId), 'running')
    }
    const said = await script(machineId, 'echo kept >project/file; cat "$AUTOVIBE_TOKEN_FILE"')
    assert.equal(said.output.toString(), TOKEN)
    assert.equal(said.token, TOKEN)
    await stage.substrate.create({ machineId, name: 'conform', from: null, token: TOKEN }, signal)
    const usage = await stage.substrate.measure(machineId, signal)
    assert.ok(usage !== null && usage.processes.value >= 1 && usage.memoryBytes.value > 0)
    for (let twice = 0; twice < 2; twice++) {
      await stage.substrate.stop(machineId, signal)
      assert.equal(await power(machineId), 'stopped')
    }
    assert.equal((await stage.substrate.measure(machineId, signal))?.processes.value ?? 0, 0)
    await stage.substrate.start(machineId, signal)
    assert.equal((await script(machineId, 'cat project/file')).output.toString(), 'kept\n')
    for (let twice = 0; twice < 2; twice++) {
      await stage.substrate.destroy(machineId, signal)
      assert.equal(await power(machineId), undefined)
    }
  })

  test('the token is on no command line and in no environment', async () => {
    const machineId = await running()
    const { output } = await script(
      machineId,
      `for p in /proc/[0-9]*; do cat $p/cmdline $p/environ 2>/dev/null || true; done | tr '\\0' '\\n' | grep -c -F -f "$AUTOVIBE_TOKEN_FILE" || true`,
    )
    assert.equal(output.toString().trim(), '0')
  })

  test('a call that was cancelled changes nothing', async () => {
    const machineId = await create()
    const cancelled = AbortSignal.abort()
    await assert.rejects(stage.substrate.start(machineId, cancelled))
    assert.equal(await power(machineId), 'stopped')
    const checkpointId = newCheckpoint()
    await assert.rejects(stage.substrate.snapshot(machineId, checkpointId, cancelled))
    await assert.rejects(accountAfter(EMPTY, stage.substrate.changes(checkpointId, null, signal)), endsWith('substrate.snapshot_gone'))
  })
}
