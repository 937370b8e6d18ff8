import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { ConformanceDoor } from '../conformance-door.ts'
import { mountBtrfs } from './test-filesystem.ts'
import { TestGround } from './test-ground.ts'
import { conformanceIn } from './test-tiers.ts'

const btrfs = await mountBtrfs()

if (typeof btrfs === 'string') test('machines on btrfs', { skip: btrfs }, () => undefined)
else {
  await conformanceIn({ isolation: 'I3', copy: 'C4' }, btrfs.folder)
  await conformanceIn({ isolation: 'I3', copy: 'C2' }, btrfs.folder)

  test('a data directory on btrfs is used as such', async () => {
    const ground = await TestGround.make({}, btrfs.folder)
    try {
      const { tier, constantTimeFork, summary } = (await ground.open(new ConformanceDoor())).capabilities()
      assert.deepEqual([tier.copy, constantTimeFork], ['C4', true])
      assert.match(summary, /btrfs snapshots/)
    } finally {
      rmSync(ground.dataDir, { recursive: true })
    }
  })
}
