/** The Hub's side of the door for tests: a real HTTP server on a unix socket, held to the contract's own schemas, that a test steers and questions. */
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  AutovibeError,
  type BudgetStatus,
  type CheckpointAnswer,
  EventBatch,
  Heartbeat,
  Instructions,
  InstructionsQuery,
  type MachineEvent,
  type Registered,
  RegisterMachine,
  RequestCheckpoint,
  RunReport,
  UsageReport,
} from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'
import { End } from '../../hub/exec/testing.ts'
import { acceptUpgrade } from '../../hub/exec/upgrade.ts'

export const TOKEN = 'machine-token-for-tests'
export const MACHINE_ID = encodeId('machine', 0, Buffer.alloc(10))
export const RUN_ID = encodeId('run', 1, Buffer.alloc(10))
export const OTHER_RUN_ID = encodeId('run', 2, Buffer.alloc(10))

export type Refusal = { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body: unknown }

export class DoorServer {
  readonly socketPath: string
  readonly registrations: RegisterMachine[] = []
  readonly heartbeats: Heartbeat[] = []
  readonly usage: UsageReport[] = []
  readonly checkpoints: RequestCheckpoint[] = []
  readonly reports: RunReport[] = []
  /** By sequence number within the boot, as the Hub stores them. */
  readonly events = new Map<string, MachineEvent>()
  readonly violations: string[] = []
  /** What the agent has dialled, by its path. */
  readonly dialled: { readonly path: string; readonly end: End }[] = []
  /** Where /gateway/* goes. */
  modelUrl: string | undefined
  /** Answers a model call instead of the model. */
  onModelCall: (() => Refusal | undefined) | undefined
  onCheckpoint: ((wish: RequestCheckpoint) => Promise<void> | void) | undefined
  onReport: ((report: RunReport) => void) | undefined
  bundle: Buffer | undefined
  budget: BudgetStatus = { spent: '0', limit: '1000000000', available: '1000000000', revision: 0, limit_met: null, winding_down: false, reached_percent: null }
  modelCalls = 0
  /** The newest document that the agent has, by what it asks to be told after. */
  heardRevision = 0
  #instructions: Instructions = { revision: 1, control: 'idle', source: null, run: null, egress: [], execs: [] }
  #server: Server | undefined
  #boot: string | undefined
  #looks = new Set<() => void>()
  readonly #upgraded = new Set<Duplex>()

  constructor(socketPath: string) {
    this.socketPath = socketPath
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => void this.#handle(request, response))
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
    this.#server.listen(this.socketPath)
    await once(this.#server, 'listening')
  }

  /** The Hub dies: every connection breaks. With `forget` it comes back without any memory of the machine's boot. */
  async stop(forget = false): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (forget) this.#boot = undefined
    if (!server) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    for (const socket of this.#upgraded) socket.destroy()
    await closed
  }

  get instructions(): Instructions {
    return this.#instructions
  }

  wish(change: Partial<Omit<Instructions, 'revision'>>): void {
    this.#instructions = Instructions.parse({ ...this.#instructions, ...change, revision: this.#instructions.revision + 1 })
    this.#wake()
  }

  /** Resolves when the condition holds; looked at after every request. Rejects after the deadline with the name. */
  async until(name: string, condition: () => boolean, deadlineMs = 20_000): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!condition()) return
        this.#looks.delete(look)
        resolve()
      }
      timer = setTimeout(() => {
        this.#looks.delete(look)
        reject(new Error(`waited for ${name}; reports: ${JSON.stringify(this.reports)}; violations: ${this.violations.join('; ')}`))
      }, deadlineMs)
      this.#looks.add(look)
      look()
    }).finally(() => clearTimeout(timer))
  }

  eventsOf(type: MachineEvent['type']): MachineEvent[] {
    return [...this.events.values()].filter((event) => event.type === type)
  }

  get finalReport(): RunReport | undefined {
    return this.reports.find((report) => report.state === 'succeeded' || report.state === 'failed' || report.state === 'cancelled')
  }

  #wake(): void {
    for (const look of [...this.#looks]) look()
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', 'http://hub')
      if (url.pathname.startsWith('/gateway/')) return await this.#gateway(request, response, url)
      const body = await readBody(request)
      if (request.headers.authorization !== `Bearer ${TOKEN}`) throw new AutovibeError('auth.missing', 'No valid token.')
      await this.#door(`${request.method} ${url.pathname}`, url, body, response)
    } catch (error) {
      const known = error instanceof AutovibeError ? error : new AutovibeError('request.invalid', error instanceof Error ? error.message : String(error))
      if (known.code === 'request.invalid') this.violations.push(`${request.method} ${request.url}: ${known.message}`)
      send(response, known.status, known.toProblem())
    } finally {
      this.#wake()
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      this.violations.push(`${request.url} without the token`)
      socket.destroy()
      return
    }
    this.#upgraded.add(socket)
    socket.once('close', () => this.#upgraded.delete(socket))
    acceptUpgrade(request, socket, head, (webSocket) => {
      this.dialled.push({ path: request.url ?? '', end: new End(webSocket) })
      this.#wake()
    })
  }

  async #door(route: string, url: URL, body: unknown, response: ServerResponse): Promise<void> {
    if (route === 'POST /door/register') {
      const registration = RegisterMachine.parse(body)
      this.registrations.push(registration)
      this.#boot = registration.boot_id
      return send(response, 200, { machine_id: MACHINE_ID, heartbeat_ms: 200 } satisfies Registered)
    }
    if (this.#boot === undefined) throw new AutovibeError('conflict.state', 'The boot is not known.')
    if (route === 'GET /door/instructions') {
      const { after, wait } = InstructionsQuery.parse(Object.fromEntries(url.searchParams))
      response.on('close', () => this.#wake())
      this.heardRevision = after
      this.#wake()
      if (this.#instructions.revision <= after)
        await this.until('new instructions', () => this.#instructions.revision > after || response.destroyed, wait * 1000).catch(() => undefined)
      return send(response, 200, this.#instructions)
    }
    if (route === 'POST /door/events') {
      const batch = EventBatch.parse(body)
      for (const event of batch.events) this.events.set(`${batch.boot_id}:${event.seq}`, event)
      return send(response, 200, { stored_seq: batch.events.at(-1)?.seq ?? 0 })
    }
    if (route === 'POST /door/heartbeat') {
      this.heartbeats.push(Heartbeat.parse(body))
      return send(response, 200, this.budget)
    }
    if (route === 'POST /door/usage') {
      this.usage.push(UsageReport.parse(body))
      return send(response, 200, this.budget)
    }
    if (route === 'POST /door/checkpoints') {
      const wish = RequestCheckpoint.parse(body)
      await this.onCheckpoint?.(wish)
      this.checkpoints.push(wish)
      return send(response, 200, {
        checkpoint_id: encodeId('checkpoint', this.checkpoints.length, Buffer.alloc(10)),
        state: 'capturing',
        state_reason: null,
      } satisfies CheckpointAnswer)
    }
    if (route === 'GET /door/source' && this.bundle) {
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': this.bundle.length })
      response.end(this.bundle)
      return
    }
    if (/^PUT \/door\/runs\/run_[0-9a-z]+\/state$/.test(route)) {
      const report = RunReport.parse(body)
      this.reports.push(report)
      this.onReport?.(report)
      return send(response, 200, this.#instructions)
    }
    throw new AutovibeError('request.invalid', `There is no ${route}.`)
  }

  async #gateway(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    this.modelCalls++
    const refusal = this.onModelCall?.()
    if (refusal) {
      await readBody(request)
      response.writeHead(refusal.status, { 'content-type': 'application/json', ...refusal.headers })
      response.end(JSON.stringify(refusal.body))
      return
    }
    if (request.headers.authorization !== `Bearer ${TOKEN}` && request.headers['x-api-key'] !== TOKEN)
      throw new AutovibeError('auth.missing', 'No valid token.')
    const target = new URL(url.pathname.slice('/gateway'.length) + url.search, this.modelUrl)
    const upstream = httpRequest(target, { method: request.method, headers: { ...request.headers, host: target.host } }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    upstream.on('error', () => response.destroy())
    response.on('close', () => upstream.destroy())
    request.pipe(upstream)
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString('utf8')
  return text === '' ? undefined : JSON.parse(text)
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
