/** `/v1/projects/:project/settings` and what stands in them: allowed models, prices and keys of a project's own, limits of its machines. A key goes in and never comes out. */
import { type Json, MachineLimitsChange, ModelId, Name, ProjectSettings, PutProjectKey, PutProjectModels, PutProjectPrice } from '@autovibe/contract'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Tx } from '../database/database.ts'
import { projectKeyContext } from '../security/secrets.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { ProjectPath } from './projects.ts'
import { readProvider } from './read/hub.ts'
import { readProjectSettings } from './read/project-settings.ts'
import { readProject } from './read/projects.ts'

const tags = ['projects']
const PricePath = ProjectPath.extend({ provider: Name, model: ModelId })
const KeyPath = ProjectPath.extend({ provider: Name })
const response = { 200: ProjectSettings }

export function registerProjectSettings(app: Api, context: ApiContext): void {
  const { db, runtime, secrets } = context

  /** One change of the settings with its audit row; answers with all of them. */
  const set = (
    request: FastifyRequest<{ Params: { project: string } }>,
    reply: FastifyReply,
    action: string,
    detail: Record<string, Json>,
    work: (tx: Tx, projectId: ProjectSettings['project_id']) => Promise<unknown>,
  ) =>
    change(context, request as FastifyRequest, reply, { action, status: 200 }, async (tx) => {
      const { id } = await readProject(tx, request.params.project)
      await work(tx, id)
      return { body: await readProjectSettings(tx, id), subject: id, detail }
    })

  app.get(
    '/v1/projects/:project/settings',
    { schema: { tags, operationId: 'getProjectSettings', summary: 'Show what a project has set for itself', params: ProjectPath, response } },
    (request) => readProjectSettings(db, request.params.project),
  )

  app.put(
    '/v1/projects/:project/models',
    {
      schema: {
        tags,
        operationId: 'putProjectModels',
        summary: 'Set the models that may be called',
        params: ProjectPath,
        body: PutProjectModels.strict(),
        response,
      },
    },
    (request, reply) =>
      set(request, reply, 'project.put_models', request.body, (tx, id) => tx.updateTable('projects').set(request.body).where('id', '=', id).execute()),
  )

  app.put(
    '/v1/projects/:project/limits',
    {
      schema: {
        tags,
        operationId: 'putProjectLimits',
        summary: 'Set what new machines of the project may take',
        description: 'What is left out is as the host of the Hub allows. Machines that there are keep theirs.',
        params: ProjectPath,
        body: MachineLimitsChange.strict(),
        response,
      },
    },
    (request, reply) =>
      set(request, reply, 'project.put_limits', request.body as Record<string, Json>, (tx, id) =>
        tx
          .updateTable('projects')
          .set({ limits: JSON.stringify(request.body) })
          .where('id', '=', id)
          .execute(),
      ),
  )

  app.put(
    '/v1/projects/:project/prices/:provider/:model',
    {
      schema: {
        tags,
        operationId: 'putProjectPrice',
        summary: 'Set what a model costs the project',
        params: PricePath,
        body: PutProjectPrice.strict(),
        response,
      },
    },
    (request, reply) => {
      const { provider, model } = request.params
      return set(request, reply, 'project.put_price', { provider, model, ...request.body }, async (tx, project_id) => {
        const { name } = await readProvider(tx, provider)
        const { context_window_tokens, ...rates } = request.body
        const values = {
          context_window_tokens: BigInt(context_window_tokens),
          input: BigInt(rates.input),
          cache_read: BigInt(rates.cache_read),
          cache_write_5m: BigInt(rates.cache_write_5m),
          cache_write_1h: BigInt(rates.cache_write_1h),
          output: BigInt(rates.output),
          updated_at: runtime.now(),
        }
        await tx
          .insertInto('project_prices')
          .values({ project_id, provider: name, model, ...values })
          .onConflict((oc) => oc.columns(['project_id', 'provider', 'model']).doUpdateSet(values))
          .execute()
      })
    },
  )

  app.delete(
    '/v1/projects/:project/prices/:provider/:model',
    { schema: { tags, operationId: 'deleteProjectPrice', summary: "Go back to the Hub's price of a model", params: PricePath, response } },
    (request, reply) => {
      const { provider, model } = request.params
      return set(request, reply, 'project.delete_price', { provider, model }, (tx, id) =>
        tx.deleteFrom('project_prices').where('project_id', '=', id).where('provider', '=', provider).where('model', '=', model).execute(),
      )
    },
  )

  app.put(
    '/v1/projects/:project/keys/:provider',
    {
      schema: {
        tags,
        operationId: 'putProjectKey',
        summary: "Give the project's own key at a provider",
        description: "From then on the project's calls are made and billed with it. It is sent only to the origin that the provider has now.",
        params: KeyPath,
        body: PutProjectKey.strict(),
        response,
      },
    },
    (request, reply) =>
      set(request, reply, 'project.put_key', { provider: request.params.provider }, async (tx, project_id) => {
        const { name, base_url } = await readProvider(tx, request.params.provider)
        const { origin } = new URL(base_url)
        const values = { origin, key_sealed: secrets.seal(request.body.key, projectKeyContext(project_id, name, origin)), updated_at: runtime.now() }
        await tx
          .insertInto('project_provider_keys')
          .values({ project_id, provider: name, ...values })
          .onConflict((oc) => oc.columns(['project_id', 'provider']).doUpdateSet(values))
          .execute()
      }),
  )

  app.delete(
    '/v1/projects/:project/keys/:provider',
    { schema: { tags, operationId: 'deleteProjectKey', summary: "Go back to the Hub's key at a provider", params: KeyPath, response } },
    (request, reply) =>
      set(request, reply, 'project.delete_key', { provider: request.params.provider }, (tx, id) =>
        tx.deleteFrom('project_provider_keys').where('project_id', '=', id).where('provider', '=', request.params.provider).execute(),
      ),
  )
}
