/** `/v1/health`, `/v1/hub`, `/v1/agents` and `/v1/openapi.json`: the Hub about itself. */
import { Health, HubInfo, InstalledAgent, pageOf } from '@autovibe/contract'
import { z } from 'zod'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { openApiDocument } from './plumbing/openapi.ts'

const tags = ['hub']

export function registerHub(app: Api, context: ApiContext): void {
  app.get(
    '/v1/health',
    {
      schema: {
        tags,
        operationId: 'getHealth',
        summary: 'Is the Hub well?',
        description: 'Without a key, only the status; the checks are left out.',
        response: { 200: Health },
      },
    },
    async (request) => {
      const health = await context.health()
      return request.identity ? health : { ...health, checks: [] }
    },
  )

  app.get('/v1/hub', { schema: { tags, operationId: 'getHub', summary: 'What this Hub is and what its host offers', response: { 200: HubInfo } } }, () =>
    context.info(),
  )

  app.get(
    '/v1/agents',
    { schema: { tags, operationId: 'listAgents', summary: 'List the agent tools of this Hub', response: { 200: pageOf(InstalledAgent) } } },
    async () => ({
      items: [...(await context.agents())],
      next_cursor: null,
    }),
  )

  app.post(
    '/v1/agents/:agent/install',
    {
      schema: {
        tags,
        operationId: 'installAgent',
        summary: 'Install an agent tool into the data directory',
        params: z.object({ agent: z.string().min(1).max(100) }),
        body: z.strictObject({}),
        response: { 200: InstalledAgent },
      },
    },
    async (request, reply) => {
      // Outside the transaction: it takes as long as a download. A repeat finds it there.
      const agent = await context.installAgent(request.params.agent)
      return change(context, request, reply, { action: 'agent.install', status: 200 }, async () => ({
        body: agent,
        subject: agent.name,
        detail: { version: agent.version },
      }))
    },
  )

  app.get('/v1/openapi.json', { schema: { hide: true } }, async (_request, reply) => reply.type('application/json').send(openApiDocument(app)))
}
