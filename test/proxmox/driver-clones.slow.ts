/** Forks of a real VM's snapshot: the disk that is cloned has everything of its source, its identity too. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DriverScene, LIMITS } from './driver-scene.ts'
import { vmsRefused } from './qemu/refused.ts'

const skip = await vmsRefused()

test('a fork of a snapshot has the whole disk of its source, and makes itself somebody of its own before it dials', { skip }, async () => {
  await using ending = new AsyncDisposableStack()
  const scene = ending.adopt(await DriverScene.open('lvmthin', { withMemory: true }), (each) => each.stage.close())
  const source = await scene.stage.running(null, LIMITS)
  await scene.said(source, 'echo tree >project/file')
  await scene.asRoot(source, 'echo system >/etc/of-the-source; sync')
  const tree = await scene.stage.look(source)
  const handle = await scene.checkpoint(source)
  await scene.said(source, 'echo later >project/file')
  const fork = await scene.stage.running(handle, LIMITS)
  assert.deepEqual(await scene.stage.look(fork), tree)
  assert.equal(await scene.asRoot(fork, 'cat /etc/of-the-source'), 'system\n')
  // RAM was kept with the snapshot, and does not come along: it is another boot.
  for (const what of ['cat /etc/machine-id', 'cat /var/lib/autovibe/identity.json', 'cat /proc/sys/kernel/random/boot_id', 'hostname'])
    assert.notEqual(await scene.asRoot(fork, what), await scene.asRoot(source, what), what)
  assert.equal(await scene.said(source, 'cat project/file'), 'later\n')
})
