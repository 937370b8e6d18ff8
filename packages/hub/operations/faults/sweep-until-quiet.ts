/** Lets the sweep put right what is left, as it does in a Hub: it looks, waits for its grace, acts, and looks again. */
import assert from 'node:assert/strict'
import { GRACE_MS, type Suspicions } from '@autovibe/core/reconcile/plan.ts'
import { sweep } from '../../scheduler/sweep.ts'
import { silentLog } from '../engine/testing.ts'
import type { EngineLife } from './engine-life.ts'
import type { World } from './world.ts'

/** Throws when something is suspected still after so many rounds; `about` is what happened before. */
export async function sweepUntilQuiet({ ports }: World, life: EngineLife, roundsMax: number, about: () => string = () => ''): Promise<void> {
  let suspicions: Suspicions = new Map()
  for (let round = 0; round < roundsMax; round++) {
    suspicions = (await sweep(ports, silentLog, suspicions)).suspicions
    if (suspicions.size === 0) return
    await life.shift(GRACE_MS)
    suspicions = (await sweep(ports, silentLog, suspicions)).suspicions
    await life.settle()
  }
  assert.deepEqual([...suspicions.keys()], [], `the sweep has put everything right ${about()}`)
}
