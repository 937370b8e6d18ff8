/** The door of the conformance suite: a real HTTP server on each machine's socket that hands out shell scripts and takes their results. */
import { unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { MachineId } from '@autovibe/contract'
import type { DoorListener } from './substrate.ts'

export interface ScriptResult {
  readonly code: number | null
  readonly output: Buffer
  /** The token that the machine showed. */
  readonly token: string
}

interface Waiting {
  readonly id: number
  readonly script: string
  readonly resolve: (result: ScriptResult) => void
}

const SCRIPT_MS = 30_000

export class ConformanceDoor implements DoorListener {
  readonly #servers = new Map<MachineId, Server>()
  readonly #asking = new Map<MachineId, ServerResponse>()
  readonly #queues = new Map<MachineId, Waiting[]>()
  readonly #scriptMs: number
  #lastId = 0

  /** `scriptMs`: how long a script may take, with the start of the agent that runs it. */
  constructor(scriptMs = SCRIPT_MS) {
    this.#scriptMs = scriptMs
  }

  async listen(machineId: MachineId, socketPath: string): Promise<void> {
    await this.close(machineId)
    await unlink(socketPath).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    const server = createServer((request, response) => void this.#answer(machineId, request, response))
    this.#servers.set(machineId, server)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.once('error', reject)
    server.listen(socketPath, resolve)
    await promise
  }

  async close(machineId: MachineId): Promise<void> {
    const server = this.#servers.get(machineId)
    this.#servers.delete(machineId)
    this.#asking.delete(machineId)
    server?.closeAllConnections()
    server?.close()
  }

  /** As the end of a Hub: every socket is dead at once. */
  async closeAll(): Promise<void> {
    for (const machineId of [...this.#servers.keys()]) await this.close(machineId)
  }

  /** Runs a script in the machine's tree. Rejects when the machine does not answer in time. */
  run(machineId: MachineId, script: string): Promise<ScriptResult> {
    const { promise, resolve, reject } = Promise.withResolvers<ScriptResult>()
    const timer = setTimeout(() => reject(new Error(`the machine did not run within ${this.#scriptMs} ms: ${script}`)), this.#scriptMs)
    const queue = this.#queues.get(machineId) ?? []
    this.#lastId += 1
    queue.push({
      id: this.#lastId,
      script,
      resolve: (result) => {
        clearTimeout(timer)
        resolve(result)
      },
    })
    this.#queues.set(machineId, queue)
    this.#handOut(machineId)
    return promise
  }

  async #answer(machineId: MachineId, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/command') {
      this.#asking.set(machineId, response)
      response.once('close', () => {
        if (this.#asking.get(machineId) === response) this.#asking.delete(machineId)
      })
      this.#handOut(machineId)
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { id, code, output } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { id: number; code: number | null; output: string }
    const queue = this.#queues.get(machineId) ?? []
    const at = queue.findIndex((waiting) => waiting.id === id)
    const [done] = at === -1 ? [] : queue.splice(at, 1)
    done?.resolve({ code, output: Buffer.from(output, 'base64'), token: (request.headers.authorization ?? '').replace('Bearer ', '') })
    response.end()
  }

  #handOut(machineId: MachineId): void {
    const response = this.#asking.get(machineId)
    const next = this.#queues.get(machineId)?.[0]
    if (response === undefined || next === undefined) return
    this.#asking.delete(machineId)
    response.end(JSON.stringify({ id: next.id, script: next.script }))
  }
}
