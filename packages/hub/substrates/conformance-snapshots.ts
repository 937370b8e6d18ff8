/** Conformance of snapshots: of one moment, whatever the machine does meanwhile or has locked away. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ConformanceStage, signal } from './conformance-stage.ts'
import { accountAfter } from './conformance-tree.ts'

export function snapshotCases(stage: ConformanceStage): void {
  const { running, script, newCheckpoint, look, treeOf } = stage

  test('a snapshot asked for twice is one, and a stopped machine has snapshots too', async () => {
    const machineId = await running()
    await script(machineId, 'echo one >project/file')
    const checkpointId = newCheckpoint()
    const first = await stage.substrate.snapshot(machineId, checkpointId, signal)
    await script(machineId, 'echo two >project/file')
    assert.deepEqual(await stage.substrate.snapshot(machineId, checkpointId, signal), first)
    await stage.substrate.stop(machineId, signal)
    const second = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    assert.equal(second.consistency, 'consistent')
    const paths: string[] = []
    for await (const change of stage.substrate.changes(second.handle, first.handle, signal)) if (change.kind === 'put') paths.push(change.entry.path)
    assert.deepEqual(paths, ['project/file'])
  })

  test('a process that stands in the tree works on through a snapshot, which stays as it was', async () => {
    const machineId = await running()
    await script(
      machineId,
      'cd project; mkdir stand; (cd stand; i=0; while :; do i=$((i+1)); echo $i >count.new && mv count.new count || echo failed >>"$HOME/failed"; sleep 0.01; done) >/dev/null 2>&1 &',
    )
    await script(machineId, 'while ! [ -s project/stand/count ]; do sleep 0.01; done')
    const { handle } = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    const frozen = await treeOf(handle)
    await script(machineId, 'was=$(cat project/stand/count); while [ "$(cat project/stand/count)" = "$was" ]; do sleep 0.01; done; ! [ -e home/failed ]')
    assert.deepEqual(await treeOf(handle), frozen)
    const now = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    assert.deepEqual((await accountAfter(frozen, stage.substrate.changes(now.handle, handle, signal))).account, await treeOf(now.handle))
  })

  test('a file that is open for writing does not prevent a snapshot, which says what it is', async () => {
    const machineId = await running()
    await script(machineId, '(exec 5>project/open; echo half >&5; echo ready >project/ready; while :; do sleep 1; done) >/dev/null 2>&1 &')
    await script(machineId, 'while ! [ -e project/ready ]; do sleep 0.01; done')
    const { handle, consistency } = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    assert.equal(consistency, 'fuzzy')
    assert.ok((await treeOf(handle)).has('project/open'))
  })

  test('what an agent locks away is still kept, told and removed', async () => {
    const machineId = await running()
    await script(machineId, 'cd project; mkdir -p vault/in; echo gold >vault/in/bar; echo x >plain')
    const first = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    const scene = await look(machineId)
    await script(machineId, 'cd project; echo more >vault/in/bar; echo y >vault/in/new; chmod 0 vault/in/bar vault/in vault plain')
    const second = await stage.substrate.snapshot(machineId, newCheckpoint(), signal)
    const { account } = await accountAfter(scene, stage.substrate.changes(second.handle, first.handle, signal))
    assert.equal(account.get('project/vault'), 'directory 0')
    assert.equal(account.get('project/vault/in/bar')?.split(' ')[1], '0')
    assert.ok(account.has('project/vault/in/new'))
    assert.deepEqual(await treeOf(second.handle), account)
    const fork = await running(second.handle)
    assert.equal((await script(fork, 'cd project; chmod 700 vault vault/in; chmod 600 vault/in/bar; cat vault/in/bar')).output.toString(), 'more\n')
    for (const gone of [machineId, fork]) await stage.substrate.destroy(gone, signal)
    await stage.substrate.dropSnapshot(second.handle, signal)
  })
}
