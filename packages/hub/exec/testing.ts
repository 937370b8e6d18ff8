/** Both ends of execs for tests: a person at a real WebSocket, and whoever plays the agent on the machine's own socket. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { CreateExec, type ExecId, ExecNews, type ExecStream, type MachineId, type ProjectId, packExecData, unpackExecData } from '@autovibe/contract'
import { WebSocket } from 'ws'
import type { DoorGround } from '../door/testing.ts'
import { systemRuntime } from '../runtime.ts'
import { Leg } from './leg.ts'
import { acceptUpgrade } from './upgrade.ts'

const UNTIL_MS = 30_000

/** One end, which remembers what it heard. */
export class End {
  readonly socket: WebSocket
  readonly news: Record<string, unknown>[] = []
  readonly data: Record<ExecStream, Buffer[]> = { stdin: [], stdout: [], stderr: [] }
  readonly closed: Promise<unknown>
  readonly #looks = new Set<() => void>()

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('error', () => undefined)
    this.closed = once(socket, 'close')
    socket.on('message', (bytes: Buffer<ArrayBuffer>, isBinary: boolean) => {
      if (!isBinary) this.news.push(JSON.parse(bytes.toString()))
      const arrived = isBinary ? unpackExecData(bytes) : undefined
      if (arrived) this.data[arrived.stream].push(Buffer.from(arrived.bytes))
      for (const look of this.#looks) look()
    })
  }

  say(words: object): void {
    this.socket.send(JSON.stringify(words))
  }

  send(stream: ExecStream, bytes: Uint8Array): void {
    this.socket.send(packExecData(stream, bytes))
  }

  text(stream: ExecStream): string {
    return Buffer.concat(this.data[stream]).toString()
  }

  /** Resolves when the condition holds, which is looked at after each frame; rejects when the connection ends before, or at a deadline. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = (): void => {
      if (condition()) resolve()
    }
    const fail = (why: string): void =>
      reject(new Error(`${why} before ${what}: ${JSON.stringify(this.news)} ${JSON.stringify(this.text('stdout').slice(-500))}`))
    const timer = setTimeout(() => fail('time was up'), UNTIL_MS)
    this.#looks.add(look)
    void this.closed.then(() => {
      look()
      fail('the connection ended')
    })
    look()
    await promise.finally(() => {
      clearTimeout(timer)
      this.#looks.delete(look)
    })
  }

  /** The last word that a person gets. */
  async end(): Promise<Extract<ExecNews, { type: 'exit' | 'failed' }>> {
    const last = () => this.news.find(({ type }) => type === 'exit' || type === 'failed')
    await this.until('the end', () => last() !== undefined)
    return ExecNews.parse(last()) as Extract<ExecNews, { type: 'exit' | 'failed' }>
  }
}

export interface Person {
  /** Asks for a command and opens its WebSocket. */
  exec(machineId: MachineId, request?: Partial<CreateExec>): Promise<End & { readonly id: ExecId }>
  close(): Promise<void>
}

/** People without an API: execs are filled in by hand. */
export async function openPeople(ground: Pick<DoorGround, 'execs' | 'database'>): Promise<Person> {
  const { execs, database } = ground
  const server: Server = createServer()
  server.on('upgrade', (request, socket, head) => {
    const [, id = '', ticket = ''] = (request.url ?? '').split('/')
    const exec = execs.forClient(id, ticket)
    acceptUpgrade(request, socket, head, (webSocket) => exec.joinClient(new Leg(webSocket)))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const actor = { keyId: systemRuntime.newId('apiKey'), name: 'somebody' }
  return {
    async exec(machineId, request = {}) {
      const { rows } = await database.pool.query<{ id: MachineId; name: string; project_id: ProjectId }>(
        'select id, name, project_id from machines where id = $1',
        [machineId],
      )
      const [machine] = rows
      if (!machine) throw new Error('there is no such machine')
      const id = systemRuntime.newId('exec')
      execs.reserve(machineId).fill({ id, ticket: 'ticket', machine, actor, request: CreateExec.parse(request) })
      const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/${id}/ticket`)
      const end = new End(socket)
      await once(socket, 'open')
      return Object.assign(end, { id })
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Dials as an agent does; the status of the refusal when it is refused. */
export async function dialDoor(caller: { readonly socketPath: string; readonly token: string }, path: string, token = caller.token): Promise<End | number> {
  const socket = new WebSocket(`ws://hub/door${path}`, { createConnection: () => connect(caller.socketPath), headers: { authorization: `Bearer ${token}` } })
  const end = new End(socket)
  const opened = once(socket, 'open').then(() => end)
  const answered = once(socket, 'unexpected-response').then(([, response]) => {
    response.resume()
    return response.statusCode as number
  })
  // One of them comes, and the other never.
  for (const each of [opened, answered]) each.catch(() => undefined)
  return Promise.race([opened, answered])
}
