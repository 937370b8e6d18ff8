/** Puts the API together: Fastify with its hooks in order, then one file per resource. The caller listens. */

import { AutovibeError } from '@autovibe/contract'
import Fastify, { LogController } from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { isWebSocketRequest } from '../exec/upgrade.ts'
import { registerApiKeys } from './api-keys.ts'
import { registerBudgets } from './budgets.ts'
import { registerCheckpointArchive } from './checkpoint-archive.ts'
import { registerCheckpointContent } from './checkpoint-content.ts'
import { registerCheckpointDiff } from './checkpoint-diff.ts'
import { registerCheckpointImport } from './checkpoint-import.ts'
import { registerCheckpointPins } from './checkpoint-pins.ts'
import { registerCheckpoints } from './checkpoints.ts'
import { registerEvents } from './events.ts'
import { registerExec } from './exec.ts'
import { registerHub } from './hub.ts'
import { registerMachineArchives } from './machine-archives.ts'
import { registerMachines } from './machines.ts'
import { registerMetrics } from './metrics.ts'
import { registerOperations } from './operations.ts'
import { registerAuth } from './plumbing/auth.ts'
import { JSON_BYTES_MAX, registerBodies } from './plumbing/bodies.ts'
import { registerClosing } from './plumbing/closing.ts'
import type { Api, ApiContext, ApiDeps } from './plumbing/deps.ts'
import { registerOpenApi } from './plumbing/openapi.ts'
import { answerProblem, registerProblems } from './plumbing/problems.ts'
import { registerProjectEgress } from './project-egress.ts'
import { registerProjectLimitsProposal } from './project-limits-proposal.ts'
import { registerProjectRetention } from './project-retention.ts'
import { registerProjectSettings } from './project-settings.ts'
import { registerProjectSource } from './project-source.ts'
import { registerProjectTriggers } from './project-triggers.ts'
import { registerProjects } from './projects.ts'
import { registerProviders } from './providers.ts'
import { registerRuns } from './runs.ts'
import { registerSubstrateProbes } from './substrate-probes.ts'
import { registerSubstrateTemplates } from './substrate-templates.ts'
import { registerSubstrates } from './substrates.ts'
import { registerUsageEvents } from './usage-events.ts'

export type { ApiDeps } from './plumbing/deps.ts'

const RESOURCES = [
  registerHub,
  registerMetrics,
  registerProjects,
  registerProjectSource,
  registerProjectSettings,
  registerProjectLimitsProposal,
  registerProjectEgress,
  registerProjectRetention,
  registerProjectTriggers,
  registerMachines,
  registerExec,
  registerRuns,
  registerCheckpoints,
  registerCheckpointDiff,
  registerCheckpointPins,
  registerMachineArchives,
  registerCheckpointArchive,
  registerCheckpointContent,
  registerCheckpointImport,
  registerBudgets,
  registerUsageEvents,
  registerOperations,
  registerEvents,
  registerProviders,
  registerSubstrates,
  registerSubstrateProbes,
  registerSubstrateTemplates,
  registerApiKeys,
]

/** How long a client may take to send a request: the source of a project may be 2 GiB. */
const REQUEST_TIMEOUT_MS = 15 * 60_000

/** Builds the API, ready to listen. Closing it ends every wait and stream first. */
export async function createApi(deps: ApiDeps): Promise<Api> {
  const app = Fastify({
    loggerInstance: deps.logger.child({ room: 'api' }),
    // Requests are told at debug level, by the hook below.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => `req_${deps.runtime.randomBytes(10).toString('hex')}`,
    bodyLimit: JSON_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: { shouldUpgradeCallback: isWebSocketRequest },
    exposeHeadRoutes: false,
    forceCloseConnections: 'idle',
    frameworkErrors: (error, request, reply) => answerProblem(request, reply, error),
    clientErrorHandler: (error, socket) => {
      // Not even a request: there is nothing to answer but this.
      if (error.code === 'ECONNRESET' || !socket.writable) return socket.destroy()
      const problem = new AutovibeError('request.invalid', 'This is not an HTTP request that the Hub understands.').toProblem()
      const body = JSON.stringify(problem)
      return socket.end(
        `HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      )
    },
    // Fastify types the logger by its own class; everything here needs only its methods.
  }) as unknown as Api
  const context: ApiContext = { ...deps, closing: registerClosing(app), load: { waiting: 0, streams: 0 } }
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store' })
  })
  registerAuth(app, context)
  registerBodies(app)
  registerProblems(app)
  app.addHook('onResponse', async (request, reply) => {
    const { method, url, identity } = request
    request.log.debug({ method, url, status: reply.statusCode, ms: Math.round(reply.elapsedTime), actor: identity?.keyId }, 'request')
  })
  await registerOpenApi(app)
  for (const register of RESOURCES) register(app, context)
  await app.ready()
  return app
}
