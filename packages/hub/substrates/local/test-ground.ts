/** A data directory for tests of the local substrate, and the proof that nothing is left of it: no process, no mount, no layer. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { MachineId } from '@autovibe/contract'
import { CONFORMANCE_AGENT } from '../conformance.ts'
import type { DoorListener } from '../substrate.ts'
import { listGroups } from './cgroups.ts'
import { createLocalSubstrate } from './create-local-substrate.ts'
import type { LocalSubstrateOptions } from './host.ts'
import { type Layout, openLayout } from './layout.ts'
import type { LocalSubstrate } from './local-substrate.ts'
import { listMarked, signalProcess } from './processes.ts'
import { topMost } from './supervisor.ts'

const CHECKOUT = fileURLToPath(new URL('../../../../', import.meta.url))
const CRASH_WITHIN_MS = 10_000

export type Tiers = Pick<LocalSubstrateOptions, 'isolation' | 'copy' | 'groups'>

export class TestGround {
  readonly dataDir: string
  readonly layout: Layout
  readonly #tiers: Tiers

  static async make(tiers: Tiers): Promise<TestGround> {
    const dataDir = await realpath(await mkdtemp(join(tmpdir(), 'av-')))
    return new TestGround(dataDir, await openLayout(dataDir), tiers)
  }

  private constructor(dataDir: string, layout: Layout, tiers: Tiers) {
    this.dataDir = dataDir
    this.layout = layout
    this.#tiers = tiers
  }

  open(door: DoorListener): Promise<LocalSubstrate> {
    const logger = { info: () => undefined, warn: (fields: object, message: string) => console.error(message, fields) }
    return createLocalSubstrate({ ...this.options(), door, logger })
  }

  options(): Omit<LocalSubstrateOptions, 'door' | 'logger'> {
    return {
      dataDir: this.dataDir,
      agentCode: { root: CHECKOUT, entry: CONFORMANCE_AGENT },
      agentsDir: join(this.dataDir, 'agents'),
      nodePath: process.execPath,
      ...this.#tiers,
    }
  }

  /** Kills the supervisor alone, where that must suffice; a bare process has nothing that ends with it. */
  async crash(machineId: MachineId): Promise<void> {
    const until = performance.now() + CRASH_WITHIN_MS
    for (let first = true; ; first = false) {
      const marked = listMarked(this.layout.dataMark).filter((process) => process.machineId === machineId)
      if (marked.length === 0) return
      const top = topMost(marked)
      if (this.#tiers.isolation === 'I0') for (const process of marked) signalProcess(process, 'SIGKILL')
      else if (first && top !== null) signalProcess(top, 'SIGKILL')
      assert.ok(performance.now() < until, 'the machine outlives its supervisor')
      await delay(2)
    }
  }

  async dispose(): Promise<void> {
    try {
      assert.deepEqual(listMarked(this.layout.dataMark), [], 'processes are left')
      assert.deepEqual(listGroups(this.layout.dataMark), [], 'control groups are left')
      assert.ok(!readFileSync('/proc/self/mounts', 'utf8').includes(this.dataDir), 'a mount leaked to the host')
      assert.deepEqual(readdirSync(this.layout.machines), [], 'machines are left')
      assert.deepEqual(readdirSync(this.layout.snapshots), [], 'snapshots are left')
      assert.deepEqual(readdirSync(this.layout.layers), ['empty'], 'layers are left')
      assert.deepEqual(readdirSync(this.layout.trash), [], 'trash is left')
    } finally {
      spawnSync('rm', ['-rf', this.dataDir])
    }
  }
}
