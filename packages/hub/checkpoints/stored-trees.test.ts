import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { test } from 'node:test'
import type { CheckpointId, CheckpointState } from '@autovibe/contract'
import fc from 'fast-check'
import { accountAfter } from '../substrates/conformance-tree.ts'
import { treeOfTar } from './archive/tree-of-tar.ts'
import { openFolderStore } from './create-checkpoint-store.ts'
import { StoredTrees } from './stored-trees.ts'
import { folderChanges } from './testing/folder-changes.ts'
import { capture, type Kept, never, PROJECT, SECRETS, setUp, withCode } from './testing/place.ts'
import { edited, edits, writeTree } from './testing/random-trees.ts'

async function two(t: Parameters<typeof setUp>[0], before: Parameters<typeof edited>[1], after: Parameters<typeof edited>[1]) {
  const { folder, dataDir, store } = await setUp(t)
  const trees = [edited(new Map(), before), edited(edited(new Map(), before), after)]
  const kept: Kept[] = []
  for (const [index, tree] of trees.entries()) {
    await mkdir(folder(`tree${index}/project`), { recursive: true })
    await mkdir(folder(`tree${index}/home`), { recursive: true })
    await writeTree(folder(`tree${index}/project`), tree)
    kept.push(await capture(store, null, folderChanges(folder(`tree${index}`))))
  }
  const states = new Map<CheckpointId, CheckpointState>(kept.map(({ checkpointId }) => [checkpointId, 'verified']))
  const stored = new StoredTrees(await openFolderStore(dataDir, SECRETS), async (id) => {
    const found = kept.find(({ checkpointId }) => checkpointId === id)
    return found && { projectId: PROJECT, state: states.get(id) ?? 'failed', manifestSha256: found.manifestSha256 }
  })
  return { stored, states, ids: kept.map(({ checkpointId }) => checkpointId) as [CheckpointId, CheckpointId] }
}

test('changes between any two stored trees make the later of the earlier, and the tar is the tree', async (t) => {
  await fc.assert(
    fc.asyncProperty(edits, edits, async (before, after) => {
      const { stored, ids } = await two(t, before, after)
      const whole = await Promise.all(ids.map(async (id) => (await accountAfter(new Map(), stored.changes(id, null, never))).account))
      const { account } = await accountAfter(whole[0] ?? new Map(), stored.changes(ids[1], ids[0], never))
      assert.deepEqual(account, whole[1])
      const fromTar = await accountAfter(new Map(), treeOfTar(stored.tar(ids[1], never), null, { contents: 'all', timeMs: 0 }))
      assert.deepEqual(fromTar.account, whole[1])
    }),
    { numRuns: 10 },
  )
})

test('only what was read back counts as kept, and nothing else is given', async (t) => {
  const { stored, states, ids } = await two(t, [], [])
  assert.equal(await stored.state(ids[0]), 'kept')
  for (const [state, wanted] of [
    ['stored', 'coming'],
    ['pending', 'coming'],
    ['corrupt', 'lost'],
    ['expired', 'gone'],
  ] as const) {
    states.set(ids[0], state)
    assert.equal(await stored.state(ids[0]), wanted)
    await assert.rejects(stored.tar(ids[0], never).next(), withCode('checkpoint.corrupt'))
    await assert.rejects(stored.changes(ids[1], ids[0], never).next(), withCode('checkpoint.corrupt'))
  }
  assert.equal(await stored.state('ckp_00000000000000000000000000' as CheckpointId), 'gone')
})
