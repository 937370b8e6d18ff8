import assert from 'node:assert/strict'
import { test } from 'node:test'
import { registry } from '../registry.ts'
import { faultTests } from './fault-tests.ts'
import { OF_ARCHIVES, SCENARIOS } from './scenarios.ts'
import { openWorld } from './world.ts'

test('every operation has a scenario, so that none is left out', () => {
  assert.deepEqual(Object.keys(SCENARIOS).sort(), [...registry.keys()].sort())
})

faultTests(
  async () => {
    const world = await openWorld()
    return { world, close: () => world.close() }
  },
  // This host takes no archives: those are played on a cluster (substrates/proxmox/archives/archive-steps.test.ts).
  (kind) => !OF_ARCHIVES.has(kind),
)
