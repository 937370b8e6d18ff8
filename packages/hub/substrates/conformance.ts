/** The suite that every substrate passes: what the port promises, tried with a real agent, a real door and real files. */
import { after, before, describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { MachineId } from '@autovibe/contract'
import { changesCases } from './conformance-changes.ts'
import { crashCases } from './conformance-crashes.ts'
import type { ConformanceDoor } from './conformance-door.ts'
import { forkCases } from './conformance-forks.ts'
import { lifeCases } from './conformance-life.ts'
import { limitCases } from './conformance-limits.ts'
import { snapshotCases } from './conformance-snapshots.ts'
import { ConformanceStage } from './conformance-stage.ts'
import type { Substrate } from './substrate.ts'

/** The program to start in machines in place of the real agent. */
export const CONFORMANCE_AGENT = fileURLToPath(new URL('conformance-agent.ts', import.meta.url))

export interface ConformanceGround {
  /** Opens the substrate, and again on the same ground, as a Hub does that was killed and restarted. */
  open(door: ConformanceDoor): Promise<Substrate>
  /** Ends a machine's processes from outside, as a crash of its host would. */
  crash(machineId: MachineId): Promise<void>
  /** Takes the ground away; whatever is left on it is a failure. */
  dispose(): Promise<void>
}

/** Each registers the cases of one theme with node:test. */
const THEMES: Themes = [lifeCases, changesCases, snapshotCases, forkCases, crashCases, limitCases]

/** Those that depend on the storage beneath a VM's disk, and not on the guest that keeps the tree on it. */
export const STORAGE_THEMES: Themes = [snapshotCases, forkCases]
type Themes = readonly ((stage: ConformanceStage) => void)[]

/** Registers the cases with node:test: all of them, or those of some themes where others have passed on the same substrate. */
export function substrateConformance(name: string, prepare: () => Promise<ConformanceGround>, themes: Themes = THEMES): void {
  describe(name, () => {
    const stage = new ConformanceStage()
    before(async () => stage.open(await prepare()))
    after(() => stage.close())
    for (const register of themes) register(stage)
  })
}
