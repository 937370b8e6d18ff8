/** The model gateway: the only way from a machine to a model. Every billed call is held in the ledger before it leaves and settled when it ends. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AutovibeError, asAutovibeError, type ErrorCode, type EventType, type Json, type MachineId } from '@autovibe/contract'
import type { Logger } from 'pino'
import { BoundedEvents } from '../database/bounded-events.ts'
import type { Database, DatabaseAddress } from '../database/database.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import { Bell } from './bell.ts'
import type { Call, CallTools } from './call.ts'
import { openCallers, type Secrets } from './callers.ts'
import { Client } from './client.ts'
import { countTokens } from './count-tokens.ts'
import { Leases } from './leases.ts'
import { LIMITS } from './limits.ts'
import { makeModelCall } from './model-call.ts'
import { sendRefusal } from './refusal.ts'
import { createUpstream } from './upstream.ts'
import { UpstreamDown, UpstreamHealth } from './upstream-health.ts'
import { WindDown } from './wind-down.ts'
import { WindingDown } from './winding-down.ts'
import { anthropicMessages } from './wires/anthropic.ts'
import { openaiChat } from './wires/openai-chat.ts'
import { openaiResponses } from './wires/openai-responses.ts'
import type { Wire } from './wires/wire.ts'

export interface GatewayOptions {
  readonly db: Database
  /** Where the database tells of changes. */
  readonly address: DatabaseAddress
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

interface Route {
  readonly wire: Wire
  /** The providers that speak it. */
  readonly family: string
  readonly perform: (tools: CallTools, call: Call) => Promise<void>
}

const ROUTES: Readonly<Record<string, Route>> = {
  'POST /gateway/v1/messages': { wire: anthropicMessages, family: 'anthropic', perform: makeModelCall },
  'POST /gateway/v1/messages/count_tokens': { wire: anthropicMessages, family: 'anthropic', perform: countTokens },
  'POST /gateway/v1/chat/completions': { wire: openaiChat, family: 'openai', perform: makeModelCall },
  'POST /gateway/v1/responses': { wire: openaiResponses, family: 'openai', perform: makeModelCall },
}
/** Refusals of other kinds that are told as well. */
const TOLD = new Set<ErrorCode>(['auth.missing', 'conflict.state', 'hub.master_key'])
/** What agents ask before their first call, to see whether somebody is there. */
const GREETINGS = new Set(['/gateway', '/gateway/', '/gateway/api/hello'])

/** Opens the gateway on a ledger; it holds connections to providers until it is closed. */
export function createGateway({ db, address, ledger, runtime, secrets, logger }: GatewayOptions): Gateway {
  const closing = new AbortController()
  const idle = new Bell()
  const upstream = createUpstream()
  const callers = openCallers({ db, address, secrets, onError: (err) => logger.warn({ err }, 'the connection that tells of callers broke') })
  const events = new BoundedEvents(db, runtime, LIMITS.refusalEventsPerMinute)
  const tools: CallTools = {
    ledger,
    runtime,
    logger,
    upstream,
    moneyBack: new Bell(),
    leases: new Leases(ledger, logger),
    events,
    health: new UpstreamHealth(
      runtime,
      (machineId, { provider, since }) => void tell('gateway.upstream_up', machineId, { provider, down_since: since.toISOString() }),
    ),
    windDown: new WindDown(db, runtime),
    closing: closing.signal,
  }
  const callsByMachine = new Map<MachineId, number>()
  let closed = false

  async function answer(machineId: MachineId, route: Route | undefined, search: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (!route) throw new AutovibeError('not_found', `The gateway has no ${req.method} ${(req.url ?? '').slice(0, 200)}.`)
    if (closed) throw new AutovibeError('provider.unavailable', 'The Hub is shutting down.')
    const calls = callsByMachine.get(machineId) ?? 0
    if (calls >= LIMITS.callsPerMachine) throw new AutovibeError('request.rate_limited', `A machine may make ${LIMITS.callsPerMachine} model calls at once.`)
    callsByMachine.set(machineId, calls + 1)
    try {
      const caller = await callers.find(machineId, req)
      if (caller.wire !== route.family) {
        const message = `The provider ${caller.provider} speaks the wire ${caller.wire}, and this path is of ${route.family}.`
        throw new AutovibeError('provider.unknown', message, { fix: 'Start the run with a provider of that wire: autovibe run --provider NAME' })
      }
      await route.perform(tools, { wire: route.wire, caller, client: new Client(res), req, res, search })
    } finally {
      const left = (callsByMachine.get(machineId) ?? 1) - 1
      if (left > 0) callsByMachine.set(machineId, left)
      else callsByMachine.delete(machineId)
      if (callsByMachine.size === 0) idle.ring()
    }
  }

  return {
    async handle(machineId, req, res) {
      const url = URL.parse(req.url ?? '/', 'http://gateway.invalid')
      if (url && GREETINGS.has(url.pathname) && (req.method === 'HEAD' || req.method === 'GET')) {
        res.writeHead(200, { 'content-length': 0 }).end()
        return
      }
      const route = url ? ROUTES[`${req.method} ${url.pathname}`] : undefined
      try {
        await answer(machineId, route, url?.search ?? '', req, res)
      } catch (thrown) {
        const error = asAutovibeError(thrown)
        // A client that breaks off its own request is no fault of ours, and must not fill the log.
        if (error.code === 'internal' && !req.errored) logger.error({ err: error, machine_id: machineId }, 'the gateway failed')
        // Told before it is answered, so that whoever sees the refusal also finds its reason.
        await tellRefusal(machineId, error)
        sendRefusal(route?.wire ?? anthropicMessages, res, error)
      }
    },

    async close() {
      closed = true
      if (callsByMachine.size > 0) await idle.wait(LIMITS.closeMs, closing.signal)
      closing.abort(new Error('the gateway closes'))
      // What was cut off is still being settled.
      if (callsByMachine.size > 0) await idle.wait(LIMITS.closeMs, new AbortController().signal)
      tools.leases.close()
      await Promise.all([upstream.close(), callers.close()])
    },
  }

  /** Refusals that a person may want to act on; a wrong path or a busy moment is none. */
  async function tellRefusal(machineId: MachineId, error: AutovibeError): Promise<void> {
    if (!/^(budget|model|provider)\./.test(error.code) && !TOLD.has(error.code)) return
    const policy = error instanceof WindingDown ? { policy: 'wind-down' } : {}
    const data = { code: error.code, message: error.message, ...policy, ...(error.fix === undefined ? {} : { fix: error.fix }) }
    if (!(error instanceof UpstreamDown)) await tell('gateway.call_refused', machineId, data)
    else if (tools.health.tells(machineId, error)) {
      const retryAfterMs = error.retryAfterMs
      await tell('gateway.upstream_down', machineId, { ...data, provider: error.provider, down_since: error.since.toISOString(), retry_after_ms: retryAfterMs })
    }
  }

  async function tell(type: EventType, machineId: MachineId, data: Record<string, Json>): Promise<void> {
    await events.tell(type, machineId, data).catch((failure: unknown) => logger.warn({ err: failure, type }, 'an event of the gateway could not be told'))
  }
}
