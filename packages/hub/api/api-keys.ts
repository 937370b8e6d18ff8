/** `/v1/api-keys`: who may call this API. */
import { ApiKey, ApiKeyId, CreateApiKey, CreatedApiKey, PageQuery, pageOf } from '@autovibe/contract'
import { z } from 'zod'
import { createApiKey, revokeApiKey } from '../security/keys.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { listApiKeys, readApiKey } from './read/hub.ts'

const tags = ['api-keys']
const params = z.object({ key: ApiKeyId })

export function registerApiKeys(app: Api, context: ApiContext): void {
  const { db, runtime } = context

  app.post(
    '/v1/api-keys',
    {
      schema: {
        tags,
        operationId: 'createApiKey',
        summary: 'Make a key; its secret is shown once',
        body: CreateApiKey.strict(),
        response: { 201: CreatedApiKey },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'api_key.create', status: 201 }, async (tx) => {
        const { name, role } = request.body
        const { id, secret } = await createApiKey(tx, runtime, { name, role })
        return { body: { ...(await readApiKey(tx, id)), secret }, subject: id, detail: { name, role } }
      }),
  )

  app.get(
    '/v1/api-keys',
    {
      schema: { tags, operationId: 'listApiKeys', summary: 'List the keys, newest first', querystring: PageQuery.strict(), response: { 200: pageOf(ApiKey) } },
    },
    (request) => listApiKeys(db, request.query),
  )

  app.delete(
    '/v1/api-keys/:key',
    { schema: { tags, operationId: 'revokeApiKey', summary: 'Revoke a key', params, response: { 200: ApiKey } } },
    (request, reply) =>
      change(context, request, reply, { action: 'api_key.revoke', status: 200 }, async (tx) => {
        const { key } = request.params
        await revokeApiKey(tx, runtime, key)
        return { body: await readApiKey(tx, key), subject: key }
      }),
  )
}
