/** The model gateway: the only way from a machine to a model. Every billed call is held in the ledger before it leaves and settled when it ends. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AutovibeError, asAutovibeError, type MachineId } from '@autovibe/contract'
import type { Logger } from 'pino'
import type { Database } from '../database/database.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import { Bell } from './bell.ts'
import type { Call, CallTools } from './call.ts'
import { CallEvents } from './call-events.ts'
import { authenticate, findCaller, type Secrets } from './caller.ts'
import { Client } from './client.ts'
import { countTokens } from './count-tokens.ts'
import { LIMITS } from './limits.ts'
import { callMessages } from './messages.ts'
import { anthropicPrices } from './prices/table.ts'
import { sendRefusal } from './refusal.ts'
import { createUpstream } from './upstream.ts'

export interface GatewayOptions {
  readonly db: Database
  readonly ledger: Ledger
  readonly runtime: Runtime
  readonly secrets: Secrets
  readonly logger: Logger
}

export interface Gateway {
  /** Answers one request below `/gateway/` of a machine that its socket has identified; never rejects. */
  handle(machineId: MachineId, req: IncomingMessage, res: ServerResponse): Promise<void>
  /** Lets calls under way end for a while, then cuts them off and settles them at their bounds. */
  close(): Promise<void>
}

const ROUTES: Readonly<Record<string, (tools: CallTools, call: Call) => Promise<void>>> = {
  'POST /gateway/v1/messages': callMessages,
  'POST /gateway/v1/messages/count_tokens': countTokens,
}
/** What agents ask before their first call, to see whether somebody is there. */
const GREETINGS = new Set(['/gateway', '/gateway/', '/gateway/api/hello'])

/** Opens the gateway on a ledger; it holds connections to providers until it is closed. */
export function createGateway({ db, ledger, runtime, secrets, logger }: GatewayOptions): Gateway {
  const closing = new AbortController()
  const idle = new Bell()
  const upstream = createUpstream()
  const tools: CallTools = {
    db,
    ledger,
    runtime,
    logger,
    upstream,
    prices: anthropicPrices,
    moneyBack: new Bell(),
    events: new CallEvents(db, runtime),
    closing: closing.signal,
  }
  const callsByMachine = new Map<MachineId, number>()
  let closed = false

  async function answer(machineId: MachineId, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname, search } = parseUrl(req.url ?? '/')
    if (GREETINGS.has(pathname) && (req.method === 'HEAD' || req.method === 'GET')) {
      res.writeHead(200, { 'content-length': 0 }).end()
      return
    }
    const route = ROUTES[`${req.method} ${pathname}`]
    if (!route) throw new AutovibeError('not_found', `The gateway has no ${req.method} ${pathname.slice(0, 200)}.`)
    if (closed) throw new AutovibeError('provider.unavailable', 'The Hub is shutting down.')
    const calls = callsByMachine.get(machineId) ?? 0
    if (calls >= LIMITS.callsPerMachine) throw new AutovibeError('request.rate_limited', `A machine may make ${LIMITS.callsPerMachine} model calls at once.`)
    callsByMachine.set(machineId, calls + 1)
    try {
      await authenticate(db, machineId, req)
      await route(tools, { caller: await findCaller(db, secrets, machineId), client: new Client(res), req, res, search })
    } finally {
      const left = (callsByMachine.get(machineId) ?? 1) - 1
      if (left > 0) callsByMachine.set(machineId, left)
      else callsByMachine.delete(machineId)
      if (callsByMachine.size === 0) idle.ring()
    }
  }

  return {
    async handle(machineId, req, res) {
      try {
        await answer(machineId, req, res)
      } catch (thrown) {
        const error = asAutovibeError(thrown)
        if (error.code === 'internal') logger.error({ err: error, machine_id: machineId }, 'the gateway failed')
        // Told before it is answered, so that whoever sees the refusal also finds its reason.
        await tellRefusal(machineId, error)
        sendRefusal(res, error)
      }
    },

    async close() {
      closed = true
      if (callsByMachine.size > 0) await idle.wait(LIMITS.closeMs, closing.signal)
      closing.abort(new Error('the gateway closes'))
      // What was cut off is still being settled.
      if (callsByMachine.size > 0) await idle.wait(LIMITS.closeMs, new AbortController().signal)
      await upstream.close()
    },
  }

  /** Refusals that a person may want to act on; a wrong path or a busy moment is none. */
  async function tellRefusal(machineId: MachineId, error: AutovibeError): Promise<void> {
    if (!/^(budget|model|provider)\./.test(error.code) && error.code !== 'auth.missing' && error.code !== 'conflict.state') return
    const data = { code: error.code, message: error.message, ...(error.fix === undefined ? {} : { fix: error.fix }) }
    await tools.events.tell('gateway.call_refused', machineId, data).catch((failure: unknown) => logger.warn({ err: failure }, 'a refusal could not be told'))
  }
}

function parseUrl(url: string): { pathname: string; search: string } {
  const parsed = URL.parse(url, 'http://gateway.invalid')
  if (!parsed) throw new AutovibeError('request.invalid', 'The path is not valid.')
  return parsed
}
