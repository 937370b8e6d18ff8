/** The local substrate alone, with the real agent inside and a door that only notes when a machine registers. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import type { MachineId } from '@autovibe/contract'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import { createLocalSubstrate } from '../../packages/hub/substrates/local/create-local-substrate.ts'
import { readMachine } from '../../packages/hub/substrates/local/documents.ts'
import { layerTree, openLayout } from '../../packages/hub/substrates/local/layout.ts'
import type { LocalSubstrate } from '../../packages/hub/substrates/local/local-substrate.ts'
import type { DoorListener, SnapshotHandle } from '../../packages/hub/substrates/substrate.ts'
import { CHECKOUT } from '../support/place.ts'

const signal = new AbortController().signal
const FOLDER_FILES = 14
const FILE_BYTES = 1024
const REGISTER_TIMEOUT_MS = 30_000

/** Answers the first word of each machine and says when it came; everything else it leaves unanswered, so that machines rest. */
class NotingDoor implements DoorListener {
  readonly #servers = new Map<MachineId, Server>()
  readonly #expected = new Map<MachineId, (at: number) => void>()

  registered(machineId: MachineId): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${machineId} did not register`)), REGISTER_TIMEOUT_MS)
      this.#expected.set(machineId, (at) => {
        clearTimeout(timer)
        resolve(at)
      })
    })
  }

  async listen(machineId: MachineId, socketPath: string): Promise<void> {
    if (this.#servers.has(machineId)) return
    const server = createServer((request, response) => {
      if (request.url !== '/door/register') return
      this.#expected.get(machineId)?.(performance.now())
      response.end(JSON.stringify({ machine_id: machineId, heartbeat_ms: 3_600_000 }))
    })
    this.#servers.set(machineId, server)
    await rm(socketPath, { force: true })
    await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  }

  async close(machineId: MachineId): Promise<void> {
    const server = this.#servers.get(machineId)
    this.#servers.delete(machineId)
    server?.closeAllConnections()
    server?.close()
  }
}

export interface Born {
  readonly machineId: MachineId
  /** Making the machine from its snapshot. */
  readonly createMs: number
  /** From the call that makes it until its agent registered. */
  readonly registeredMs: number
}

export class SpawnGround implements AsyncDisposable {
  readonly #substrate: LocalSubstrate
  readonly #door: NotingDoor
  readonly #layout: Awaited<ReturnType<typeof openLayout>>

  /** `warmMost`: machines that may wait for a project. What lies in the folder goes on from one opening to the next. */
  static async open(dataDir: string, warmMost: number): Promise<SpawnGround> {
    const door = new NotingDoor()
    const options = { dataDir, agentCode: { root: CHECKOUT }, agentsDir: join(dataDir, 'agents'), nodePath: process.execPath, door, warmMost }
    const logger = { info: () => undefined, warn: (fields: object, message: string) => console.error(message, fields) }
    const substrate = await createLocalSubstrate({ ...options, logger })
    await substrate.settled()
    return new SpawnGround(substrate, door, await openLayout(dataDir))
  }

  private constructor(substrate: LocalSubstrate, door: NotingDoor, layout: Awaited<ReturnType<typeof openLayout>>) {
    this.#substrate = substrate
    this.#door = door
    this.#layout = layout
  }

  get tier() {
    return this.#substrate.capabilities().tier
  }

  /** A snapshot of a project with so many files of 1 KiB, written to the layer from outside, as fast as the disk takes it. */
  async project(files: number): Promise<SnapshotHandle> {
    const machineId = await this.#create(null)
    const document = await readMachine(this.#layout, machineId)
    const project = join(layerTree(this.#layout, document?.upper ?? ''), 'project')
    for (let folder = 0; folder * FOLDER_FILES < files; folder++) {
      const path = join(project, `d${folder % 100}`, `e${folder}`)
      await mkdir(path, { recursive: true })
      const count = Math.min(FOLDER_FILES, files - folder * FOLDER_FILES)
      await Promise.all(Array.from({ length: count }, (_, file) => writeFile(join(path, `f${file}`), Buffer.alloc(FILE_BYTES, `${folder} ${file} `))))
    }
    const snapshot = await this.#snapshot(machineId)
    await this.destroy(machineId)
    return snapshot
  }

  /** Makes and starts one machine. */
  async spawn(from: SnapshotHandle): Promise<Born> {
    const startedAt = performance.now()
    const machineId = await this.#create(from)
    const createMs = performance.now() - startedAt
    const registered = this.#door.registered(machineId)
    await this.#substrate.start(machineId, signal)
    return { machineId, createMs, registeredMs: (await registered) - startedAt }
  }

  /** Takes a running machine back and answers how long it took until its new agent registered. */
  async rollback(machineId: MachineId, to: SnapshotHandle): Promise<number> {
    const startedAt = performance.now()
    const registered = this.#door.registered(machineId)
    await this.#substrate.rollback(machineId, to, signal)
    await this.#substrate.start(machineId, signal)
    return (await registered) - startedAt
  }

  /** Boots until so many wait. */
  warm(count: number): Promise<void> {
    return this.#substrate.warm(count)
  }

  destroy(machineId: MachineId): Promise<void> {
    return this.#substrate.destroy(machineId, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#substrate.settled()
    await this.#substrate.close()
  }

  async #create(from: SnapshotHandle | null): Promise<MachineId> {
    const machineId = systemRuntime.newId('machine')
    await this.#substrate.create({ machineId, name: 'bench', from, token: 'token' }, signal)
    return machineId
  }

  async #snapshot(machineId: MachineId): Promise<SnapshotHandle> {
    const { handle } = await this.#substrate.snapshot(machineId, systemRuntime.newId('checkpoint'), signal)
    return handle
  }
}
