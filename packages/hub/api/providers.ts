/** `/v1/providers`: vendors of models as the gateway reaches them; a key goes in and never comes out. */
import { AutovibeError, Name, PageQuery, Provider, ProviderReach, type ProviderWire, PutProvider, pageOf, WIRES } from '@autovibe/contract'
import { z } from 'zod'
import { providerKeyContext } from '../security/secrets.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { tryToReach } from './reach.ts'
import { listProviders, readProvider } from './read/hub.ts'

const tags = ['providers']
const params = z.object({ provider: Name })

/** What a new provider of a wire gets when nothing is said. */
const WIRE_DEFAULTS: Readonly<Record<ProviderWire, { readonly base_url: string; readonly default_model: string }>> = {
  anthropic: { base_url: 'https://api.anthropic.com', default_model: 'claude-opus-5-5' },
  // The wire brings its own /v1.
  openai: { base_url: 'https://api.openai.com', default_model: 'gpt-5.4' },
}

export function registerProviders(app: Api, context: ApiContext): void {
  const { db, runtime, secrets } = context

  app.get(
    '/v1/providers',
    {
      schema: {
        tags,
        operationId: 'listProviders',
        summary: 'List the providers by name',
        querystring: PageQuery.strict(),
        response: { 200: pageOf(Provider) },
      },
    },
    (request) => listProviders(db, request.query),
  )

  app.get(
    '/v1/providers/:provider',
    { schema: { tags, operationId: 'getProvider', summary: 'Show a provider', params, response: { 200: Provider } } },
    (request) => readProvider(db, request.params.provider),
  )

  app.get(
    '/v1/providers/:provider/reach',
    {
      schema: {
        tags,
        operationId: 'reachProvider',
        summary: 'Try once whether a provider answers',
        description: 'Takes two seconds at most, and sends no key.',
        params,
        response: { 200: ProviderReach },
      },
    },
    async (request) => tryToReach((await readProvider(db, request.params.provider)).base_url, context.closing),
  )

  app.put(
    '/v1/providers/:provider',
    {
      schema: {
        tags,
        operationId: 'putProvider',
        summary: 'Set up a provider; what is left out stays as it is',
        params,
        body: PutProvider.strict(),
        response: { 200: Provider },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'provider.put', status: 200 }, async (tx) => {
        const name = request.params.provider
        const { key, simulated } = request.body
        const before = await tx.selectFrom('providers').selectAll().where('name', '=', name).forUpdate().executeTakeFirst()
        const wire = request.body.wire ?? before?.wire ?? WIRES.find((named) => named === name) ?? 'anthropic'
        // Of another wire, neither the address nor the model can stay.
        const kept = before?.wire === wire ? before : WIRE_DEFAULTS[wire]
        const base_url = checkBaseUrl(request.body.base_url ?? kept.base_url)
        if (before && before.key_sealed !== null && key === undefined && new URL(before.base_url).origin !== new URL(base_url).origin) {
          throw new AutovibeError('request.invalid', `The stored key was given for ${new URL(before.base_url).origin} and is not sent anywhere else.`, {
            errors: [{ path: 'body.key', message: 'is required when base_url moves to another origin' }],
            fix: 'Send the key for the new base_url along.',
          })
        }
        const values = {
          wire,
          base_url,
          default_model: request.body.default_model ?? kept.default_model,
          simulated,
          key_sealed: key === undefined ? (before?.key_sealed ?? null) : secrets.seal(key, providerKeyContext(name)),
          updated_at: runtime.now(),
        }
        await tx
          .insertInto('providers')
          .values({ name, ...values })
          .onConflict((oc) => oc.column('name').doUpdateSet(values))
          .execute()
        return { body: await readProvider(tx, name), subject: name, detail: { base_url, key_changed: key !== undefined } }
      }),
  )

  app.delete(
    '/v1/providers/:provider',
    {
      schema: {
        tags,
        operationId: 'deleteProvider',
        summary: 'Remove a provider with its key; the answer is what it was',
        params,
        response: { 200: Provider },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'provider.delete', status: 200 }, async (tx) => {
        const provider = await readProvider(tx, request.params.provider)
        const run = await tx
          .selectFrom('runs as r')
          .innerJoin('machines as m', 'm.id', 'r.machine_id')
          .select(['r.id', 'm.name as machine'])
          .where('r.provider', '=', provider.name)
          .where('r.ended_at', 'is', null)
          .orderBy('r.id')
          .executeTakeFirst()
        if (run)
          throw new AutovibeError('conflict.state', `The run ${run.id} has not ended and calls the provider ${provider.name}.`, {
            fix: `Let it end (autovibe attach ${run.id}), or end it: autovibe machine destroy ${run.machine}`,
          })
        await tx.deleteFrom('providers').where('name', '=', provider.name).execute()
        return { body: provider, subject: provider.name, detail: { base_url: provider.base_url } }
      }),
  )

  app.delete(
    '/v1/providers/:provider/key',
    { schema: { tags, operationId: 'deleteProviderKey', summary: 'Forget the key of a provider', params, response: { 200: Provider } } },
    (request, reply) =>
      change(context, request, reply, { action: 'provider.delete_key', status: 200 }, async (tx) => {
        const { name } = await readProvider(tx, request.params.provider)
        await tx.updateTable('providers').set({ key_sealed: null, updated_at: runtime.now() }).where('name', '=', name).execute()
        return { body: await readProvider(tx, name), subject: name }
      }),
  )
}

const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]']

/** The key travels with every call: encrypted, or not beyond this host. */
function checkBaseUrl(text: string): string {
  const url = new URL(text)
  const problem =
    url.protocol !== 'https:' && !(url.protocol === 'http:' && LOOPBACK.includes(url.hostname))
      ? 'must be https, or http on loopback'
      : url.username !== '' || url.password !== ''
        ? 'must not hold a user or a password'
        : url.search !== '' || url.hash !== ''
          ? 'must not hold a query or a fragment'
          : undefined
  if (problem === undefined) return text.replace(/\/+$/, '')
  throw new AutovibeError('request.invalid', `The base_url ${problem}.`, {
    errors: [{ path: 'body.base_url', message: problem }],
    fix: 'For example https://api.anthropic.com',
  })
}
