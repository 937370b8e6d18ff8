/** Conformance of changes: they tell all that lies between two snapshots, and no more. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ConformanceStage, EMPTY, signal } from './conformance-stage.ts'
import { accountAfter } from './conformance-tree.ts'
import { AWKWARD, FORGED, randomWork, SECOND } from './conformance-work.ts'

export function changesCases(stage: ConformanceStage): void {
  const { running, script, newCheckpoint, look, treeOf } = stage

  test('a snapshot holds the tree of its moment, and changes are what lies between two', async () => {
    const machineId = await running()
    await script(machineId, AWKWARD)
    const scenes = [await look(machineId)]
    const handles = [(await stage.substrate.snapshot(machineId, newCheckpoint(), signal)).handle]
    for (const scene of [SECOND, FORGED]) {
      await script(machineId, scene)
      scenes.push(await look(machineId))
      handles.push((await stage.substrate.snapshot(machineId, newCheckpoint(), signal)).handle)
    }
    for (const [at, handle] of handles.entries()) {
      assert.deepEqual(await treeOf(handle), scenes[at])
      for (let since = 0; since < at; since++) {
        const { account } = await accountAfter(scenes[since] ?? EMPTY, stage.substrate.changes(handle, handles[since] ?? null, signal))
        assert.deepEqual(account, scenes[at])
      }
      assert.equal((await accountAfter(EMPTY, stage.substrate.changes(handle, handle, signal))).changes, 0)
    }
  })

  test('changes are no more than what differs', async () => {
    const machineId = await running()
    await script(machineId, 'mkdir -p project/a/b; for i in 1 2 3 4 5; do echo $i >project/a/b/$i; done; echo s >project/same')
    const first = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    await script(machineId, 'echo changed >project/a/b/3; : >>project/same; rm project/a/b/5')
    const second = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    const found: string[] = []
    for await (const change of stage.substrate.changes(second.handle, first.handle, signal))
      found.push(change.kind === 'put' ? change.entry.path : `-${change.path}`)
    assert.deepEqual(found.sort(), ['-project/a/b/5', 'project/a/b/3'])
  })

  test('random work in many rounds is told without a gap', async () => {
    const machineId = await running()
    let scene = await look(machineId)
    let handle = (await stage.substrate.snapshot(machineId, newCheckpoint(), signal)).handle
    for (let round = 1; round <= 5; round++) {
      await stage.door.run(machineId, randomWork(round))
      const now = await look(machineId)
      const next = (await stage.substrate.snapshot(machineId, newCheckpoint(), signal)).handle
      assert.deepEqual((await accountAfter(scene, stage.substrate.changes(next, handle, signal))).account, now, `seed ${round}`)
      scene = now
      handle = next
    }
    const fork = await running(handle)
    assert.deepEqual(await look(fork), scene)
  })
}
