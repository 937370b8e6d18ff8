/** The conformance suite in one tier of the local substrate, or a skipped test that says why this host has it not. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { substrateConformance } from '../conformance.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { TestGround, type Tiers } from './test-ground.ts'

export async function conformanceIn(tiers: Tiers & Required<Pick<Tiers, 'isolation' | 'copy'>>, place?: string): Promise<void> {
  const name = `local ${tiers.isolation}+${tiers.copy}${tiers.groups === 'none' ? ' without groups' : ''}`
  const missing = await reasonAgainst(tiers, place)
  if (missing === null) substrateConformance(name, () => TestGround.make(tiers, place))
  else test(name, { skip: missing }, () => undefined)
}

/** Why this host does not offer it; null when it does. */
export async function reasonAgainst(tiers: Tiers, place?: string): Promise<string | null> {
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
