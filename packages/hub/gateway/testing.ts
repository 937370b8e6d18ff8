/** A gateway as it runs in the Hub (real database, ledger and sockets), and an upstream that speaks the wire and keeps its own bill. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AutovibeError, type BudgetId, type Json, type MachineId, type ProjectId, type RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import { pino } from 'pino'
import { freshDatabase } from '../database/testing.ts'
import { createLedger } from '../ledger/create-ledger.ts'
import { type Runtime, systemRuntime } from '../runtime.ts'
import { createGateway } from './gateway.ts'

export const TOKEN = 'a-machine-token'
export const PROVIDER_KEY = 'sk-the-real-key'
/** Sealed under a master key that is not known. */
export const UNREADABLE_KEY = 'sealed under another key'
/** A provider of each wire, of the wire's own name; all of them are the one upstream. */
const DEFAULT_MODELS = { anthropic: 'claude-opus-5-5', openai: 'gpt-5' } as const
type ProviderWire = keyof typeof DEFAULT_MODELS

export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly text: string
  /** The body as JSON. */
  readonly body: Record<string, Json>
}
interface CallOptions {
  readonly headers?: Record<string, string>
  readonly signal?: AbortSignal
}
export type UpstreamAnswer = (seen: Seen, res: ServerResponse) => void | Promise<void>

async function listen(handler: RequestListener): Promise<{ server: Server; url: string; close(): Promise<void> }> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Opens everything; `answer` decides what the upstream says and may be changed between tests. */
export async function openTestGateway(runtime: Runtime = systemRuntime) {
  const database = await freshDatabase()
  const ledger = createLedger({ ...database, runtime })
  const logger = pino({ level: 'silent' })
  const secrets = {
    open: (sealed: Buffer, context: string) => {
      if (sealed.toString() === UNREADABLE_KEY) throw new AutovibeError('internal', 'A stored secret cannot be read.')
      return /^(project:prj_\S+ provider:anthropic origin:http:\S+|provider:(anthropic|openai))$/.test(context) ? sealed.toString() : 'wrong context'
    },
  }
  const gateway = createGateway({ db: database.db, address: database.address, ledger, runtime, secrets, logger })

  const seen: Seen[] = []
  let answer: UpstreamAnswer = (_, res) => void res.writeHead(500).end()
  const upstream = await listen(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const call = { method: req.method ?? '', url: req.url ?? '', headers: req.headers, text, body: JSON.parse(text) as Record<string, Json> }
    seen.push(call)
    await answer(call, res)
  })
  await database.db
    .insertInto('providers')
    .values(
      (['anthropic', 'openai'] as const).map((wire) => ({
        name: wire,
        wire,
        base_url: upstream.url,
        default_model: DEFAULT_MODELS[wire],
        simulated: false,
        key_sealed: Buffer.from(PROVIDER_KEY),
        updated_at: runtime.now(),
      })),
    )
    .execute()

  /** A machine with a run and its money, reachable at its own address, as by its own socket. */
  async function machine(limitNanoUsd: bigint, wire: ProviderWire = 'anthropic') {
    const projectId: ProjectId = runtime.newId('project')
    const machineId: MachineId = runtime.newId('machine')
    const runId: RunId = runtime.newId('run')
    const at = runtime.now()
    const token = `${TOKEN} ${machineId}`
    await database.db
      .insertInto('projects')
      .values({ id: projectId, name: projectId.slice(-30), source_sha256: null, created_at: at })
      .execute()
    await sql`insert into machines (id, name, project_id, state, token_hash, created_at)
      values (${machineId}, ${machineId}, ${projectId}, 'running', ${createHash('sha256').update(token).digest('hex')}, ${at})`.execute(database.db)
    const budgetId: BudgetId = await database.db.transaction().execute(async (tx) => {
      const parentId = await ledger.openBudget(tx, { scope: 'project', scopeId: projectId, parentId: null, resource: 'money', limit: limitNanoUsd * 100n })
      return ledger.openBudget(tx, { scope: 'run', scopeId: runId, parentId, resource: 'money', limit: limitNanoUsd })
    })
    await sql`insert into runs (id, project_id, machine_id, prompt, agent, provider, model, state, budget_id, created_at)
      values (${runId}, ${projectId}, ${machineId}, 'p', 'builtin', ${wire}, ${DEFAULT_MODELS[wire]}, 'running', ${budgetId}, ${at})`.execute(database.db)
    let answered: Promise<void> = Promise.resolve()
    let knocks = 0
    const front = await listen((req, res) => {
      knocks++
      answered = new Promise((resolve) => res.once('close', () => resolve()))
      void gateway.handle(machineId, req, res)
    })
    fronts.push(front)
    const post = (path: string, body: unknown, options: CallOptions = {}) =>
      fetch(`${front.url}/gateway${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': token, 'anthropic-version': '2023-06-01', ...options.headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...(options.signal ? { signal: options.signal } : {}),
      })
    return {
      projectId,
      machineId,
      runId,
      budgetId,
      token,
      url: front.url,
      /** Sends a body to a path of the gateway. */
      post,
      call: (body: unknown, options: CallOptions & { path?: string } = {}) => post(`/v1/messages${options.path ?? ''}`, body, options),
      /** How many requests have reached the gateway. */
      knocks: () => knocks,
      /** Resolves when so many have. */
      knocked: async (count: number): Promise<void> => {
        while (knocks < count) await once(front.server, 'request')
      },
      /** Resolves when the answer to the latest call is at its end, or its client has left. */
      answered: () => answered,
      budget: () => database.db.selectFrom('budgets').select(['limit', 'settled', 'reserved']).where('id', '=', budgetId).executeTakeFirstOrThrow(),
      usage: () => database.db.selectFrom('usage_events').selectAll().where('run_id', '=', runId).orderBy('id').execute(),
      events: async (type: string) =>
        (
          await database.db
            .selectFrom('events')
            .selectAll()
            .where('type', '=', type)
            .where((eb) => eb.or([eb('machine_id', '=', machineId), eb('run_id', '=', runId)]))
            .orderBy('seq')
            .execute()
        ).map((row) => row.data),
      /** Resolves when no reservation of the run is open. */
      async settled(): Promise<void> {
        const until = Date.now() + 20_000
        for (;;) {
          const open = await database.db.selectFrom('reservations').select('id').where('budget_id', '=', budgetId).where('state', '=', 'open').execute()
          if (open.length === 0) return
          if (Date.now() > until) throw new Error('a reservation stays open')
          await new Promise((resolve) => setImmediate(resolve))
        }
      },
    }
  }
  const fronts: { close(): Promise<void> }[] = []

  return {
    ...database,
    ledger,
    gateway,
    seen,
    machine,
    upstreamUrl: upstream.url,
    answerWith: (next: UpstreamAnswer) => {
      answer = next
      seen.length = 0
    },
    async closeAll() {
      await gateway.close()
      for (const front of fronts) await front.close()
      await upstream.close()
      await database.close()
    },
  }
}

export const usageOf = (input: number, output: number, more: Record<string, Json> = {}) => ({ input_tokens: input, output_tokens: output, ...more })

/** A whole message with these figures. */
export const messageOf = (usage: Record<string, Json>, more: Record<string, Json> = {}) => ({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-opus-5-5',
  content: [{ type: 'text', text: 'ok' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage,
  ...more,
})

export function sendJson(res: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

export const sse = (event: { type: string } & Record<string, unknown>): string => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
export const startEvent = (usage: Record<string, Json>) => sse({ type: 'message_start', message: messageOf(usage, { content: [], stop_reason: null }) })
export const textEvent = (text: string) => sse({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })
export const deltaEvent = (usage: Record<string, Json>, stopReason: string | null = 'end_turn') =>
  sse({ type: 'message_delta', delta: { stop_reason: stopReason, stop_sequence: null }, usage })
export const stopEvent = () => sse({ type: 'message_stop' })
export const openStream = (res: ServerResponse): ServerResponse =>
  res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'request-id': 'req_1' })
