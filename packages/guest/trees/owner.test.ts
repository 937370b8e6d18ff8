/** Whose the files of frozen trees are. */
import assert from 'node:assert/strict'
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { never, newCheckpoint, openTrees, QUICK } from './testing/ground.ts'

const isRoot = process.getuid?.() === 0

test('frozen trees belong to the agent’s user, who gets no rights of another by them', { skip: isRoot ? false : 'only root gives files away' }, async (t) => {
  const ground = await openTrees({ parent: QUICK, onlyCopies: true, owner: { uid: 4711, gid: 4712 } })
  t.after(() => ground.close())
  await ground.trees.plant(null)
  ground.shell('printf x >project/tool; ln -s tool project/link; chown -R -h 4711:4712 .; chmod 4755 project/tool')
  const id = newCheckpoint()
  await ground.trees.freeze(id, never)
  await ground.trees.rollBack(id, never)
  for (const root of [join(ground.folder, 'frozen', id), ground.tree])
    for (const name of ['.', 'project', 'project/tool', 'project/link']) {
      const { uid, gid } = lstatSync(join(root, name))
      assert.deepEqual([uid, gid], [4711, 4712], `${root}/${name}`)
    }
  assert.equal(lstatSync(join(ground.tree, 'project/tool')).mode & 0o7777, 0o4755)
})
