/** The machine door: identifies the machine, then hands its request to one file per thing it may say. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AutovibeError, asAutovibeError, DOOR_LIMITS, type MachineId } from '@autovibe/contract'
import fastify, { type FastifyInstance } from 'fastify'
import { hasZodFastifySchemaValidationErrors, serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { refusalOfBody } from '../database/storable.ts'
import type { Execs } from '../exec/execs.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { AskAtOnce } from '../operations/engine/at-once.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import type { WakeFeed } from '../operations/engine/wake-feed.ts'
import type { Ports } from '../operations/ports.ts'
import type { Requests } from '../operations/requests.ts'
import { checkpointRoutes } from './checkpoints.ts'
import { eventRoutes } from './events.ts'
import { execUpgrades, type UpgradeHandler } from './exec.ts'
import { createFailureLog } from './failure-log.ts'
import { heartbeatRoutes } from './heartbeat.ts'
import { instructionRoutes } from './instructions.ts'
import { createRateLimits, type RateLimits, rateLimited } from './rate-limits.ts'
import { registerRoutes } from './register.ts'
import { createRunRoom, type RunRoom } from './run-room.ts'
import { runRoutes } from './runs.ts'
import { sourceRoutes } from './source.ts'
import { assertToken } from './token.ts'
import { usageRoutes } from './usage.ts'

export interface DoorOptions extends Ports {
  readonly requests: Requests
  /** Through the engine of this Hub, once it runs. */
  readonly askAtOnce: AskAtOnce
  readonly wakes: WakeFeed
  readonly execs: Execs
  readonly dataDir: string
  readonly log: EngineLog
  readonly metrics: Pick<Metrics, 'checkpointWaited'>
  /** Looks whether the machine has reached a limit, and has it ended if so. */
  readonly lookAt: (machineId: MachineId) => Promise<void>
}

/** What every file of this room works with. */
export interface DoorContext extends DoorOptions {
  readonly room: RunRoom
  readonly rateLimits: RateLimits
}

declare module 'fastify' {
  interface FastifyRequest {
    machineId: MachineId
  }
}

export type DoorApp = ReturnType<typeof bareApp>

/** Builds the door; `handle` answers a request that came in on this machine's own socket, `upgrade` one that becomes a WebSocket. */
export async function createDoor(options: DoorOptions): Promise<{
  handle(machineId: MachineId, request: IncomingMessage, response: ServerResponse): void
  readonly upgrade: UpgradeHandler
  close(): Promise<void>
}> {
  const rateLimits = createRateLimits(options.runtime)
  const context: DoorContext = { ...options, room: createRunRoom(options.runtime), rateLimits }
  const tellFailure = createFailureLog(options.log, options.runtime)
  const app = bareApp()
  const callers = new WeakMap<IncomingMessage, MachineId>()
  app.decorateRequest('machineId')
  app.addHook('onRequest', async (request, reply) => {
    const machineId = callers.get(request.raw)
    if (!machineId) throw new AutovibeError('auth.missing', 'The door is reached by a machine on its own socket.')
    const waitMs = rateLimits.waitMs(machineId, request.routeOptions.url, request.headers)
    if (waitMs > 0) {
      const { error, retryAfterSeconds } = rateLimited(waitMs)
      reply.header('retry-after', retryAfterSeconds)
      throw error
    }
    await assertToken(context.db, machineId, request.headers.authorization)
    request.machineId = machineId
  })
  app.addHook('preValidation', async ({ body }) => {
    const refusal = refusalOfBody(body)
    if (refusal) throw refusal
  })
  app.setErrorHandler((thrown, request, reply) => {
    const error = doorError(thrown)
    if (error.status >= 500) tellFailure(callers.get(request.raw) ?? null, thrown)
    void reply
      .code(error.status)
      .type('application/problem+json')
      .send(JSON.stringify(error.toProblem(request.id)))
  })
  app.setNotFoundHandler(() => {
    throw new AutovibeError('not_found', 'The door has no such place.')
  })
  for (const routes of [registerRoutes, instructionRoutes, eventRoutes, heartbeatRoutes, usageRoutes, checkpointRoutes, runRoutes, sourceRoutes])
    routes(app, context)
  await app.ready()
  return {
    handle: (machineId, request, response) => {
      callers.set(request, machineId)
      app.routing(request, response)
    },
    upgrade: execUpgrades(context, rateLimits),
    close: () => app.close(),
  }
}

function bareApp() {
  const app: FastifyInstance = fastify({ bodyLimit: DOOR_LIMITS.bodyBytes, logger: false })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  return app.withTypeProvider<ZodTypeProvider>()
}

function doorError(thrown: unknown): AutovibeError {
  if (hasZodFastifySchemaValidationErrors(thrown)) {
    const errors = thrown.validation.map(({ instancePath, message }) => ({ path: instancePath, message: message ?? 'is not valid' }))
    return new AutovibeError('request.invalid', 'The request is not valid.', { errors })
  }
  const status = (thrown as { statusCode?: unknown }).statusCode
  if (status === 413) return new AutovibeError('request.too_large', 'The request is too large.')
  if (typeof status === 'number' && status >= 400 && status < 500) return new AutovibeError('request.invalid', 'The request is not valid.', { cause: thrown })
  return asAutovibeError(thrown)
}
