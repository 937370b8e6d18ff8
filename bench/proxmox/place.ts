/** Machines on a cluster with real guests, one after the other: born, filled, checkpointed, forked, rolled back, and looked at from inside. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CheckpointId, MachineId } from '@autovibe/contract'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import type { ConformanceDoor } from '../../packages/hub/substrates/conformance-door.ts'
import { TOKEN } from '../../packages/hub/substrates/conformance-stage.ts'
import type { SnapshotHandle, Substrate } from '../../packages/hub/substrates/substrate.ts'

export const FILES_OF_FOLDER = 14
export const FILE_BYTES = 1_024
const CALL_MS = 60_000

const within = (): AbortSignal => AbortSignal.timeout(CALL_MS)

export interface Born {
  readonly machineId: MachineId
  readonly createdMs: number
  /** From the call of create until its agent was started. */
  readonly startedMs: number
  /** The same until the agent had done something that it was told at its door. */
  readonly answeredMs: number
}

/** All that is measured of machines on one cluster. */
export class Place {
  readonly #substrate: Substrate
  readonly #door: ConformanceDoor
  readonly #checkpoints: CheckpointId[] = []

  /** Of a tree. */
  readonly files: number

  constructor(substrate: Substrate, door: ConformanceDoor, files: number) {
    this.files = files
    this.#substrate = substrate
    this.#door = door
  }

  /** A machine, with all its files where it comes from a checkpoint; destroyed again. */
  async brief(from: SnapshotHandle | null): Promise<Born> {
    const born = await this.#born(from)
    if (from !== null) await this.assertWhole(born.machineId)
    await this.destroy(born.machineId)
    return born
  }

  /** A machine with an empty tree that was filled from inside. */
  async filled(): Promise<MachineId> {
    const { machineId } = await this.#born(null)
    const folder = `d$((i / ${FILES_OF_FOLDER}))`
    const file = `printf '%${FILE_BYTES}d' $i > ${folder}/f$i`
    await this.#run(machineId, `cd project && i=0; while [ $i -lt ${this.files} ]; do [ -d ${folder} ] || mkdir ${folder}; ${file}; i=$((i + 1)); done`)
    return machineId
  }

  async assertWhole(machineId: MachineId): Promise<void> {
    const found = await this.#run(machineId, 'find project -type f | wc -l')
    if (found !== String(this.files)) throw new Error(`a machine has ${found} of ${this.files} files`)
  }

  destroy(machineId: MachineId): Promise<void> {
    return this.#substrate.destroy(machineId, within())
  }

  async checkpoint(machineId: MachineId): Promise<{ readonly ms: number; readonly handle: SnapshotHandle }> {
    const checkpointId = systemRuntime.newId('checkpoint')
    this.#checkpoints.push(checkpointId)
    const startedAt = performance.now()
    const { handle } = await this.#substrate.snapshot(machineId, checkpointId, within())
    return { ms: performance.now() - startedAt, handle }
  }

  /** Until its agent was started again. */
  async rollBack(machineId: MachineId, to: SnapshotHandle): Promise<number> {
    const startedAt = performance.now()
    await this.#substrate.rollback(machineId, to, within())
    await this.#substrate.start(machineId, within())
    return performance.now() - startedAt
  }

  drop(handle: SnapshotHandle): Promise<void> {
    return this.#substrate.dropSnapshot(handle, within())
  }

  async dropAll(): Promise<void> {
    for (const id of this.#checkpoints) await this.drop(id)
  }

  async #born(from: SnapshotHandle | null): Promise<Born> {
    const machineId = systemRuntime.newId('machine')
    const startedAt = performance.now()
    await this.#substrate.create({ machineId, name: 'bench', from, token: TOKEN, group: 'bench' }, within())
    const createdMs = performance.now() - startedAt
    await this.#substrate.start(machineId, within())
    const startedMs = performance.now() - startedAt
    await this.#run(machineId, 'true')
    return { machineId, createdMs, startedMs, answeredMs: performance.now() - startedAt }
  }

  async #run(machineId: MachineId, script: string): Promise<string> {
    const { code, output } = await this.#door.run(machineId, script)
    if (code !== 0) throw new Error(`a machine's script ended with ${code}: ${output}`)
    return output.toString().trim()
  }
}

/** The same tree as a machine's, on this host. */
export async function writeTree(path: string, files: number): Promise<void> {
  for (let file = 0; file < files; file++) {
    const folder = join(path, `d${Math.floor(file / FILES_OF_FOLDER)}`)
    if (file % FILES_OF_FOLDER === 0) await mkdir(folder, { recursive: true })
    await writeFile(join(folder, `f${file}`), String(file).padStart(FILE_BYTES))
  }
}
