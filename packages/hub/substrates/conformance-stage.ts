/** What the cases of the conformance suite play on: a substrate at its door, all machines and snapshots made so far, and short ways to use them. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { AutovibeError, type CheckpointId, type MachineId, type MachineLimits } from '@autovibe/contract'
import { systemRuntime } from '../runtime.ts'
import type { ConformanceGround } from './conformance.ts'
import { ConformanceDoor, type ScriptResult } from './conformance-door.ts'
import { accountAfter, accountFromInside, type TreeAccount } from './conformance-tree.ts'
import type { SnapshotHandle, Substrate, Usage } from './substrate.ts'

export const signal = new AbortController().signal
export const EMPTY: TreeAccount = new Map()
const LOOKS_MAX = 2_000
const LOOK_EVERY_MS = 20
export const TOKEN = 'a-token-of-the-machine'

/** Cases are registered before it is open; what they take from it they may use only while they run. */
export class ConformanceStage {
  /** Destroyed when the stage closes, as are the snapshots. */
  readonly machines = new Set<MachineId>()
  readonly #checkpoints = new Set<CheckpointId>()
  readonly #scriptMs: number | undefined
  #door: ConformanceDoor
  #ground: ConformanceGround | undefined
  #substrate: Substrate | undefined

  /** `scriptMs`: for machines that are slower than others. */
  constructor(scriptMs?: number) {
    this.#scriptMs = scriptMs
    this.#door = new ConformanceDoor(scriptMs)
  }

  async open(ground: ConformanceGround): Promise<void> {
    this.#ground = ground
    this.#substrate = await ground.open(this.#door)
  }

  /** The Hub goes without a word to its machines; the next one opens the same ground. */
  async reopen(): Promise<void> {
    await this.#door.closeAll()
    this.#door = new ConformanceDoor(this.#scriptMs)
    await this.open(this.ground)
  }

  async close(): Promise<void> {
    for (const machineId of this.machines) await this.substrate.destroy(machineId, signal)
    for (const checkpointId of this.#checkpoints) await this.substrate.dropSnapshot(checkpointId, signal)
    await this.door.closeAll()
    await this.ground.dispose()
  }

  get door(): ConformanceDoor {
    return this.#door
  }
  get ground(): ConformanceGround {
    assert.ok(this.#ground, 'the stage is not open')
    return this.#ground
  }
  get substrate(): Substrate {
    assert.ok(this.#substrate, 'the stage is not open')
    return this.#substrate
  }

  readonly create = async (from: SnapshotHandle | null = null, limits?: MachineLimits): Promise<MachineId> => {
    const machineId = systemRuntime.newId('machine')
    this.machines.add(machineId)
    await this.substrate.create({ machineId, name: 'conform', from, token: TOKEN, limits }, signal)
    return machineId
  }

  readonly running = async (from: SnapshotHandle | null = null, limits?: MachineLimits): Promise<MachineId> => {
    const machineId = await this.create(from, limits)
    await this.substrate.start(machineId, signal)
    return machineId
  }

  readonly script = async (machineId: MachineId, text: string): Promise<ScriptResult> => {
    const result = await this.door.run(machineId, `set -e\n${text}`)
    assert.equal(result.code, 0, result.output.toString('latin1'))
    return result
  }

  readonly newCheckpoint = (): CheckpointId => {
    const checkpointId = systemRuntime.newId('checkpoint')
    this.#checkpoints.add(checkpointId)
    return checkpointId
  }

  /** Measures until it is so, or far too often. */
  readonly seen = async (machineId: MachineId, what: string, isSo: (usage: Usage) => boolean): Promise<Usage> => {
    let last: Usage | null = null
    for (let look = 0; look < LOOKS_MAX; look++) {
      last = await this.substrate.measure(machineId, signal)
      if (last !== null && isSo(last)) return last
      await delay(LOOK_EVERY_MS)
    }
    assert.fail(`it was never seen: ${what}; last ${JSON.stringify(last)}`)
  }

  readonly look = (machineId: MachineId) => accountFromInside(this.door, machineId)
  readonly power = async (machineId: MachineId) => (await this.substrate.list(signal)).find((machine) => machine.machineId === machineId)?.power
  readonly treeOf = async (handle: SnapshotHandle) => (await accountAfter(EMPTY, this.substrate.changes(handle, null, signal))).account
}

export const endsWith = (code: string) => (error: unknown) => error instanceof AutovibeError && error.code === code
