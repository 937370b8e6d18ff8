/** A proxy for tests on real sockets and a real database, machines with what their projects allow, and what they hear when they ask for a tunnel. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BudgetId, MachineId, Problem, ProjectId, RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import { pino } from 'pino'
import { type FreshDatabase, freshDatabase } from '../../database/testing.ts'
import { createDoorListener } from '../../door/listener.ts'
import { createLedger } from '../../ledger/create-ledger.ts'
import { type Runtime, systemRuntime } from '../../runtime.ts'
import { createEgress } from '../egress.ts'
import type { Network } from '../network.ts'

export interface Answer {
  readonly status: number
  /** The words of the first line. */
  readonly phrase: string
  readonly problem: Problem | null
  /** The tunnel, open when the status is 200. */
  readonly socket: Socket
}

export interface TestMachine {
  readonly id: MachineId
  readonly projectId: ProjectId
  readonly project: string
  readonly runId: RunId
  readonly token: string
  readonly socketPath: string
}

const WAIT_MS = 20_000

/** Asks for a tunnel on a machine's socket and reads the answer. */
export function ask(socketPath: string, destination: string, headers: Record<string, string>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method: 'CONNECT', path: destination, headers, agent: false })
    asked.once('error', reject)
    asked.once('connect', (response, socket, head) => {
      const { statusCode: status = 0, statusMessage: phrase = '' } = response
      if (head.length > 0) socket.unshift(head)
      if (status === 200) return resolve({ status, phrase, problem: null, socket: socket as Socket })
      readAll(socket as Socket).then((text) => resolve({ status, phrase, problem: JSON.parse(text) as Problem, socket: socket as Socket }), reject)
    })
    asked.end()
  })
}

/** Everything until the other side ends. */
export async function readAll(socket: Socket): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of socket as AsyncIterable<Buffer>) pieces.push(piece)
  return Buffer.concat(pieces).toString('utf8')
}

/** A listener on the loopback of this host; `serve` gets each connection, which may be half open. */
export async function openListener(serve: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** Names as a table says, and connections to one listener on the loopback, whatever the address: the addresses asked for are kept. */
export function tableNetwork(names: Record<string, readonly string[]>, port: () => number) {
  const resolved: string[] = []
  const connected: string[] = []
  const network: Network = {
    async resolve(name) {
      resolved.push(name)
      return names[name] ?? []
    },
    async connect(address, asked) {
      connected.push(`${address.text} ${asked}`)
      const socket = connect({ host: '127.0.0.1', port: port(), allowHalfOpen: true })
      await once(socket, 'connect')
      socket.on('error', () => undefined)
      return socket
    },
    ownAddresses: () => new Set(['8.8.4.4']),
  }
  return { network, resolved, connected }
}

/** Opens a proxy on that network; machines are made in its database. */
export async function openTestEgress(network: Network, runtime: Runtime = systemRuntime) {
  const database = await freshDatabase()
  const ledger = createLedger({ ...database, runtime })
  const egress = createEgress({ ...database, ledger, runtime, logger: pino({ level: 'silent' }), network })
  const served = new Set<Promise<void>>()
  const folder = await mkdtemp(join(tmpdir(), 'avegress-'))
  const listener = createDoorListener((_machine, _request, response) => void response.writeHead(404).end(), {
    connect: (machineId, request, socket, head) => {
      const one = egress.handle(machineId, request, socket, head)
      served.add(one)
      void one.finally(() => served.delete(one))
    },
  })
  return {
    ...database,
    ledger,
    egress,
    listener,
    machine: async (...rules: (string | { destination: string; private: boolean })[]) => {
      const machine = await makeMachine(database, runtime, folder)
      await setRules(database, machine, ...rules)
      await listener.listen(machine.id, machine.socketPath)
      return machine
    },
    setRules: (machine: TestMachine, ...rules: (string | { destination: string; private: boolean })[]) => setRules(database, machine, ...rules),
    /** Resolves when every tunnel so far is over and charged. */
    over: () => Promise.all(served),
    cap: (machine: TestMachine, limit: bigint): Promise<BudgetId> =>
      database.db
        .transaction()
        .execute((tx) => ledger.openBudget(tx, { scope: 'project', scopeId: machine.projectId, parentId: null, resource: 'egress_bytes', limit })),
    close: async () => {
      await listener.closeAll()
      await egress.close()
      await database.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export const authorized = ({ token }: TestMachine): Record<string, string> => ({ 'proxy-authorization': `Bearer ${token}` })
export const connectTo = (machine: TestMachine, destination: string): Promise<Answer> => ask(machine.socketPath, destination, authorized(machine))

export async function eventsOf({ db }: FreshDatabase, machine: TestMachine, type: 'egress.allowed' | 'egress.refused') {
  const rows = await db
    .selectFrom('events')
    .select(['data', 'run_id', 'project_id'])
    .where('type', '=', type)
    .where('machine_id', '=', machine.id)
    .orderBy('seq')
    .execute()
  return rows.map(({ data }) => data)
}

export async function usageOf({ db }: FreshDatabase, machine: TestMachine) {
  const rows = await db.selectFrom('usage_events').selectAll().where('machine_id', '=', machine.id).orderBy('id').execute()
  return rows.map(({ resource, amount, quality, detail, run_id }) => ({ resource, amount, quality, detail, run_id }))
}

/** Resolves when the socket is closed, however; rejects when it stays open. */
export async function closed(socket: Socket): Promise<void> {
  socket.on('error', () => undefined)
  socket.resume()
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(WAIT_MS) })
}

/** A machine with a run under way in a project of its own. */
export async function makeMachine({ db }: FreshDatabase, runtime: Runtime, folder: string): Promise<TestMachine> {
  const [id, projectId, runId] = [runtime.newId('machine'), runtime.newId('project'), runtime.newId('run')]
  const [token, project, at] = [`avm_${id}`, projectId.slice(-26), runtime.now()]
  await db.insertInto('projects').values({ id: projectId, name: project, source_sha256: null, created_at: at }).execute()
  await sql`insert into machines (id, name, project_id, state, token_hash, created_at)
    values (${id}, ${id}, ${projectId}, 'running', ${createHash('sha256').update(token).digest('hex')}, ${at})`.execute(db)
  await sql`insert into runs (id, project_id, machine_id, prompt, agent, provider, model, state, created_at)
    values (${runId}, ${projectId}, ${id}, 'p', 'builtin', 'anthropic', 'm', 'running', ${at})`.execute(db)
  return { id, projectId, project, runId, token, socketPath: join(folder, `${id.slice(-8)}.sock`) }
}

export async function setRules(
  { db }: FreshDatabase,
  { projectId }: TestMachine,
  ...rules: (string | { destination: string; private: boolean })[]
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await tx.deleteFrom('project_egress').where('project_id', '=', projectId).execute()
    const rows = rules.map((rule) => ({ project_id: projectId, ...(typeof rule === 'string' ? { destination: rule, private: false } : rule) }))
    if (rows.length > 0) await tx.insertInto('project_egress').values(rows).execute()
  })
}
