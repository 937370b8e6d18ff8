/** Conformance of what goes wrong around a machine: its own crash, and the end of the Hub that started it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ConformanceStage, signal } from './conformance-stage.ts'
import { accountAfter } from './conformance-tree.ts'

export function crashCases(stage: ConformanceStage): void {
  const { running, script, newCheckpoint, look, power, treeOf } = stage

  test('a machine that crashed is seen, keeps its tree and starts again', async () => {
    const machineId = await running()
    await script(machineId, 'echo kept >project/file')
    await stage.ground.crash(machineId)
    assert.equal(await power(machineId), 'stopped')
    if ((await stage.substrate.measure(machineId, signal)) !== null) await stage.seen(machineId, 'that all has ended', ({ processes }) => processes.value === 0)
    const { handle } = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    assert.ok((await treeOf(handle)).has('project/file'))
    await stage.substrate.start(machineId, signal)
    assert.equal((await script(machineId, 'cat project/file')).output.toString(), 'kept\n')
  })

  test('a running machine outlives its Hub, and the next Hub commands it', async () => {
    const machineId = await running()
    const agent = (await script(machineId, 'echo one >project/file; echo $PPID')).output.toString()
    const first = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    await stage.reopen()
    assert.equal(await power(machineId), 'running')
    assert.equal((await script(machineId, 'cat project/file; echo $PPID')).output.toString(), `one\n${agent}`)
    await script(machineId, 'echo two >project/file')
    const second = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    const scene = await look(machineId)
    assert.deepEqual((await accountAfter(await treeOf(first.handle), stage.substrate.changes(second.handle, first.handle, signal))).account, scene)
    await stage.substrate.stop(machineId, signal)
    assert.equal(await power(machineId), 'stopped')
    await stage.substrate.destroy(machineId, signal)
    assert.equal(await power(machineId), undefined)
  })
}
