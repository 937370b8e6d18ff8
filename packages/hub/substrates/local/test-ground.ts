/** A data directory for tests of the local substrate, and the proof that nothing is left of it: no process, no mount, no layer. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { MachineId } from '@autovibe/contract'
import { CONFORMANCE_AGENT, type ConformanceGround } from '../conformance.ts'
import type { DoorListener, Substrate } from '../substrate.ts'
import { listGroups } from './cgroups.ts'
import { createLocalSubstrate } from './create-local-substrate.ts'
import type { LocalSubstrateOptions } from './host.ts'
import { type Layout, machinePaths, openLayout } from './layout.ts'
import type { LocalSubstrate } from './local-substrate.ts'
import { findMarked } from './marked.ts'
import { signalProcess } from './processes.ts'
import { topMost } from './supervisor.ts'

const CHECKOUT = fileURLToPath(new URL('../../../../', import.meta.url))
const CRASH_WITHIN_MS = 10_000

export type Tiers = Pick<LocalSubstrateOptions, 'isolation' | 'copy' | 'groups'>

export class TestGround {
  readonly dataDir: string
  readonly layout: Layout
  readonly #tiers: Tiers
  readonly #opened: LocalSubstrate[] = []

  /** In this folder, or in that for temporary files. */
  static async make(tiers: Tiers, place: string = tmpdir()): Promise<TestGround> {
    const dataDir = await realpath(await mkdtemp(join(place, 'av-')))
    return new TestGround(dataDir, await openLayout(dataDir), tiers)
  }

  private constructor(dataDir: string, layout: Layout, tiers: Tiers) {
    this.dataDir = dataDir
    this.layout = layout
    this.#tiers = tiers
  }

  async open(door: DoorListener): Promise<LocalSubstrate> {
    // A Hub that was killed works on nothing in the background.
    for (const earlier of this.#opened) await earlier.settled()
    const logger = { info: () => undefined, warn: (fields: object, message: string) => console.error(message, fields) }
    const substrate = await createLocalSubstrate({ ...this.options(), door, logger })
    this.#opened.push(substrate)
    return substrate
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
      const marked = (await findMarked(this.layout)).filter((process) => process.machineId === machineId || process.machineId === this.#slotOf(machineId))
      if (marked.length === 0) return
      const top = topMost(marked)
      if (this.#tiers.isolation === 'I0') for (const process of marked) signalProcess(process, 'SIGKILL')
      else if (first && top !== null) signalProcess(top, 'SIGKILL')
      assert.ok(performance.now() < until, 'the machine outlives its supervisor')
      await delay(2)
    }
  }

  #slotOf(machineId: MachineId): string | null {
    const { slot } = machinePaths(this.layout, machineId)
    return existsSync(slot) ? readFileSync(slot, 'utf8') : null
  }

  async dispose(): Promise<void> {
    try {
      for (const substrate of this.#opened) await substrate.close()
      for (const substrate of this.#opened) await substrate.settled()
      assert.deepEqual(await findMarked(this.layout), [], 'processes are left')
      assert.deepEqual(listGroups(this.layout.dataMark), [], 'control groups are left')
      assert.ok(!readFileSync('/proc/self/mounts', 'utf8').includes(this.dataDir), 'a mount leaked to the host')
      assert.deepEqual(readdirSync(this.layout.machines), [], 'machines are left')
      assert.deepEqual(readdirSync(this.layout.slots), [], 'slots are left')
      assert.deepEqual(readdirSync(this.layout.snapshots), [], 'snapshots are left')
      assert.deepEqual(readdirSync(this.layout.layers), ['empty'], 'layers are left')
      assert.deepEqual(readdirSync(this.layout.trash), [], 'trash is left')
    } finally {
      spawnSync('rm', ['-rf', this.dataDir])
    }
  }
}

/** The same, but that one machine waits for each that is started. */
export class WarmGround implements ConformanceGround {
  readonly #ground: TestGround

  static async make(tiers: Tiers): Promise<WarmGround> {
    return new WarmGround(await TestGround.make(tiers))
  }

  private constructor(ground: TestGround) {
    this.#ground = ground
  }

  async open(door: DoorListener): Promise<Substrate> {
    const substrate = await this.#ground.open(door)
    const start: Substrate['start'] = async (machineId, signal) => {
      await substrate.warm(1)
      await substrate.start(machineId, signal)
    }
    return new Proxy(substrate, {
      get(target, name) {
        if (name === 'start') return start
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  crash(machineId: MachineId): Promise<void> {
    return this.#ground.crash(machineId)
  }

  dispose(): Promise<void> {
    return this.#ground.dispose()
  }
}
