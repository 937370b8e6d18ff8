/** The OpenAPI 3.1 document, made from the very schemas that validate the requests. */

import {
  ApiKey,
  Budget,
  Checkpoint,
  DiffLine,
  Event,
  Exec,
  Health,
  HubInfo,
  InstalledAgent,
  Json,
  LedgerEntry,
  Machine,
  Operation,
  Problem,
  Project,
  ProjectSettings,
  Provider,
  ProxmoxConfig,
  RollbackEffects,
  Run,
  Step,
  Substrate,
  SubstrateProbe,
  UsageEvent,
} from '@autovibe/contract'
import swagger from '@fastify/swagger'
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { accessOf } from '../../security/roles.ts'
import type { Api } from './deps.ts'

/** What the document names and refers to; everything else stands where it is used. */
const COMPONENTS = {
  Project,
  ProjectSettings,
  Machine,
  Run,
  Step,
  Checkpoint,
  DiffLine,
  Budget,
  LedgerEntry,
  UsageEvent,
  Operation,
  RollbackEffects,
  Event,
  Exec,
  Provider,
  ProxmoxConfig,
  Substrate,
  SubstrateProbe,
  ApiKey,
  Health,
  HubInfo,
  InstalledAgent,
  Problem,
  Json,
}

export async function registerOpenApi(app: Api): Promise<void> {
  const schemaRegistry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(COMPONENTS)) schemaRegistry.add(schema, { id })
  const toJsonSchema = createJsonSchemaTransform({ schemaRegistry })
  const withComponents = createJsonSchemaTransformObject({ schemaRegistry })

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'autovibe',
        version: '1',
        description:
          'The API of an autovibe Hub. Amounts of money are nano-US-dollars as decimal strings. Clients ignore members, states and event types that they do not know. ' +
          'Every POST takes an Idempotency-Key header: a repeat with the same key gets the first answer.',
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer', description: 'An API key, avk_…' } } },
      security: [{ key: [] }],
    },
    transform: (route) => {
      const made = toJsonSchema(route)
      const schema = made.schema as { hide?: boolean; response?: Record<string, unknown>; headers?: unknown; security?: unknown[]; description?: string }
      if (schema === undefined || schema.hide) return made
      const access = accessOf(String(route.route.method), route.url)
      if (access === 'public') schema.security = []
      if (access === 'admin') schema.description = [schema.description, 'Asks for the role admin.'].filter(Boolean).join(' ')
      const header = HEADERS[String(route.route.method)]
      if (header) schema.headers = header
      schema.response = {
        ...schema.response,
        default: { description: 'What went wrong', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } },
      }
      return made
    },
    transformObject: (document) => withoutUnused(withComponents(document) as OpenApiDocument) as ReturnType<typeof withComponents>,
  })
}

interface OpenApiDocument {
  readonly components: { schemas: Record<string, unknown> }
}

/** The library makes an input and an output form of each component; only those that something refers to are of use. */
function withoutUnused(document: OpenApiDocument): OpenApiDocument {
  const { schemas } = document.components
  for (const name of Object.keys(schemas)) {
    if (!JSON.stringify(document).includes(`"#/components/schemas/${name}"`)) delete schemas[name]
  }
  return document
}

/** Headers that plumbing/change.ts and budgets.ts read themselves, because their absence has an answer of its own. */
const HEADERS: Readonly<Record<string, object>> = {
  POST: {
    type: 'object',
    properties: {
      'Idempotency-Key': {
        type: 'string',
        maxLength: 200,
        description: 'A repeat of the request with the same key gets the first answer and changes nothing.',
      },
    },
  },
  PATCH: { type: 'object', required: ['If-Match'], properties: { 'If-Match': { type: 'string', description: 'The ETag of what shall be changed.' } } },
}

/** The document as served, once every route is there. */
export const openApiDocument = (app: Api): unknown => app.swagger()
