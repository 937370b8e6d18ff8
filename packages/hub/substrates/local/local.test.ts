import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { substrateConformance } from '../conformance.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { TestGround, type Tiers } from './test-ground.ts'

const root = process.getuid?.() === 0
const isolation = root ? 'I3' : 'I2'

const offered = await bestOfThisHost()

for (const tiers of [
  { isolation, copy: 'C3' },
  { isolation, copy: 'C1' },
  { isolation: 'I0', copy: 'C1' },
  // An ordinary user has none as a rule, so that the first of all is this one.
  ...(root ? [{ isolation, copy: 'C3', groups: 'none' } as const] : []),
] as const satisfies Tiers[]) {
  const sandbox = tiers.isolation === 'I0' || offered.isolation === tiers.isolation
  const name = `local ${tiers.isolation}+${tiers.copy}${'groups' in tiers ? ' without groups' : ''}`
  if (sandbox && (tiers.copy === 'C1' || offered.copy === 'C3')) substrateConformance(name, () => TestGround.make(tiers))
  else test(name, { skip: `this host offers only ${offered.isolation} with ${offered.copy}` }, () => undefined)
}

test('a tier that the host does not offer is refused, never replaced', async () => {
  await assert.rejects(makeAndOpen({ isolation: root ? 'I2' : 'I3', copy: 'C1' }), isUnavailable)
  await assert.rejects(makeAndOpen({ isolation: 'I0', copy: 'C3' }), isUnavailable)
})

const isUnavailable = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'substrate.unavailable' && error.fix !== undefined

async function makeAndOpen(tiers: Tiers): Promise<void> {
  const ground = await TestGround.make(tiers)
  try {
    await ground.open(new ConformanceDoor())
  } finally {
    rmSync(ground.dataDir, { recursive: true })
  }
}

async function bestOfThisHost() {
  const ground = await TestGround.make({})
  try {
    return (await ground.open(new ConformanceDoor())).capabilities().tier
  } finally {
    rmSync(ground.dataDir, { recursive: true })
  }
}
