import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { substrateConformance } from '../conformance.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { mountBtrfs } from './test-filesystem.ts'
import { TestGround, type Tiers, WarmGround } from './test-ground.ts'

const root = process.getuid?.() === 0
const isolation = root ? 'I3' : 'I2'

const btrfs = mountBtrfs()
const onBtrfs = typeof btrfs === 'string' ? null : btrfs.folder
// Not by `after`: what is awaited out here would not hold that up.
if (typeof btrfs !== 'string') process.once('exit', () => btrfs.unmount())

for (const [tiers, place] of [
  [{ isolation, copy: 'C4' }, onBtrfs],
  [{ isolation, copy: 'C3' }, undefined],
  [{ isolation, copy: 'C2' }, onBtrfs],
  [{ isolation, copy: 'C1' }, undefined],
  // An ordinary user has no groups as a rule, so that the others are without them too.
  ...(root ? ([[{ isolation, copy: 'C3', groups: 'none' }, undefined]] as const) : []),
  [{ isolation: 'I1', copy: 'C1' }, undefined],
  [{ isolation: 'I0', copy: 'C1' }, undefined],
] as const satisfies (readonly [Tiers, string | null | undefined])[]) {
  const name = `local ${tiers.isolation}+${tiers.copy}${'groups' in tiers ? ' without groups' : ''}`
  const missing = place === null ? String(btrfs) : await reasonAgainst(tiers, place)
  if (missing === null && place !== null) substrateConformance(name, () => TestGround.make(tiers, place))
  else test(name, { skip: missing ?? true }, () => undefined)
}

const noWaiting = await reasonAgainst({ isolation, copy: 'C3' })
if (noWaiting === null) substrateConformance(`local ${isolation}+C3, each start from a machine that waits`, () => WarmGround.make({ isolation, copy: 'C3' }))
else test('starts from machines that wait', { skip: noWaiting }, () => undefined)

test('a tier that the host does not offer is refused, never replaced', async () => {
  assert.match((await reasonAgainst({ isolation: root ? 'I2' : 'I3', copy: 'C1' })) ?? '', /This host offers/)
  assert.match((await reasonAgainst({ isolation: 'I0', copy: 'C3' })) ?? '', /not I0 with C3/)
  assert.match((await reasonAgainst({ isolation: 'I1', copy: 'C3' })) ?? '', /not I1 with C3/)
})

test('a data directory on btrfs is used as such', { skip: onBtrfs === null ? String(btrfs) : false }, async () => {
  const ground = await TestGround.make({}, onBtrfs ?? undefined)
  try {
    const { tier, constantTimeFork, summary } = (await ground.open(new ConformanceDoor())).capabilities()
    assert.deepEqual([tier.copy, constantTimeFork], ['C4', true])
    assert.match(summary, /btrfs snapshots/)
  } finally {
    rmSync(ground.dataDir, { recursive: true })
  }
})

/** Why this host does not offer it; null when it does. */
async function reasonAgainst(tiers: Tiers, place?: string): Promise<string | null> {
  const ground = await TestGround.make(tiers, place)
  try {
    await ground.open(new ConformanceDoor())
    return null
  } catch (error) {
    assert.ok(error instanceof AutovibeError && error.code === 'substrate.unavailable' && error.fix !== undefined, String(error))
    return error.message
  } finally {
    rmSync(ground.dataDir, { recursive: true })
  }
}
