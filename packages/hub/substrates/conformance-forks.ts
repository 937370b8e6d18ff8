/** Conformance of what comes from a snapshot: forks, rollbacks, and what happens when it is dropped. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemRuntime } from '../runtime.ts'
import { type ConformanceStage, EMPTY, endsWith, signal } from './conformance-stage.ts'
import { accountAfter } from './conformance-tree.ts'
import { AWKWARD, SECOND } from './conformance-work.ts'
import type { SnapshotHandle } from './substrate.ts'

export function forkCases(stage: ConformanceStage): void {
  const { create, running, script, newCheckpoint, look, power, treeOf } = stage

  test('a fork starts from the snapshot and goes its own way; a rollback returns to it', async () => {
    const machineId = await running()
    await script(machineId, AWKWARD)
    const scene = await look(machineId)
    const { handle } = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    await script(machineId, SECOND)
    const later = await look(machineId)
    const fork = await running(handle)
    assert.deepEqual(await look(fork), scene)
    await script(fork, 'rm -r project/opaque; echo fork >project/fork')
    assert.deepEqual(await look(machineId), later)
    for (let twice = 0; twice < 2; twice++) {
      await stage.substrate.rollback(machineId, handle, signal)
      assert.equal(await power(machineId), 'stopped')
    }
    await stage.substrate.start(machineId, signal)
    assert.deepEqual(await look(machineId), scene)
    await script(machineId, 'echo after >project/after')
    const next = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    assert.deepEqual((await accountAfter(scene, stage.substrate.changes(next.handle, handle, signal))).account, await look(machineId))
    const forked = await stage.substrate.snapshot(fork, newCheckpoint(), signal)
    assert.deepEqual((await accountAfter(scene, stage.substrate.changes(forked.handle, handle, signal))).account, await look(fork))
  })

  test('a snapshot that is gone or not on the line is refused by name', async () => {
    const machineId = await running()
    const first = (await stage.substrate.snapshot(machineId, newCheckpoint(), signal)).handle
    const other = (await stage.substrate.snapshot(await running(), newCheckpoint(), signal)).handle
    const drain = async (handle: SnapshotHandle, since: SnapshotHandle | null) =>
      void (await accountAfter(EMPTY, stage.substrate.changes(handle, since, signal)))
    await assert.rejects(drain(first, other), endsWith('substrate.failed'))
    for (let twice = 0; twice < 2; twice++) await stage.substrate.dropSnapshot(other, signal)
    await assert.rejects(drain(other, null), endsWith('substrate.snapshot_gone'))
    await assert.rejects(drain(first, other), endsWith('substrate.snapshot_gone'))
    await assert.rejects(create(other), endsWith('substrate.snapshot_gone'))
    await assert.rejects(stage.substrate.rollback(machineId, other, signal), endsWith('substrate.snapshot_gone'))
  })

  test('dropping snapshots harms neither the machines nor the snapshots that came from them', async () => {
    const machineId = await running()
    const handles: SnapshotHandle[] = []
    for (const round of [1, 2, 3]) {
      await script(machineId, `echo ${round} >project/file${round}`)
      handles.push((await stage.substrate.snapshot(machineId, newCheckpoint(), signal)).handle)
    }
    const scene = await look(machineId)
    const fork = await create(handles[2])
    for (const handle of handles.slice(0, 2)) await stage.substrate.dropSnapshot(handle, signal)
    await stage.substrate.destroy(machineId, signal)
    assert.deepEqual(await treeOf(handles[2] ?? ''), scene)
    await stage.substrate.dropSnapshot(handles[2] ?? '', signal)
    await stage.substrate.start(fork, signal)
    assert.deepEqual(await look(fork), scene)
  })

  test('a tree from elsewhere is a snapshot like any other, made once, and not at all when it is only half there', async (t) => {
    const { substrate } = stage
    if (substrate.plant === undefined) return t.skip('this substrate takes no trees from outside')
    const machineId = systemRuntime.newId('machine')
    const checkpointId = newCheckpoint()
    let written = 0
    const write = async (folder: string): Promise<void> => {
      written += 1
      for (const name of ['project', 'home']) await mkdir(join(folder, name))
      await writeFile(join(folder, 'project', 'brought'), 'from elsewhere')
    }
    const failing = async (folder: string): Promise<void> => {
      await write(folder)
      throw new Error('half')
    }
    await assert.rejects(substrate.plant(machineId, checkpointId, failing, signal))
    await assert.rejects(create(checkpointId), endsWith('substrate.snapshot_gone'))
    for (let twice = 0; twice < 2; twice++)
      assert.deepEqual(await substrate.plant(machineId, checkpointId, write, signal), { handle: checkpointId, consistency: 'consistent' })
    assert.equal(written, 2)
    const scene = await treeOf(checkpointId)
    const fork = await running(checkpointId)
    assert.deepEqual(await look(fork), scene)
    await script(fork, 'grep -q elsewhere project/brought && echo more >>project/brought')
    assert.deepEqual(await treeOf(checkpointId), scene)
    const next = await substrate.snapshot(fork, newCheckpoint(), signal)
    assert.deepEqual((await accountAfter(scene, substrate.changes(next.handle, checkpointId, signal))).account, await look(fork))
    await substrate.dropSnapshot(checkpointId, signal)
    assert.deepEqual(await treeOf(next.handle), await look(fork))
  })
}
