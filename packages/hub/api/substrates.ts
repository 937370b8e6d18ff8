/** `/v1/substrates`: the clusters that machines can be made on. A token's secret goes in and never comes out. */
import { CreateSubstrate, Name, PageQuery, ProxmoxConfig, pageOf, ShownSubstrate, Substrate, UpdateSubstrate, UsedSubstrate } from '@autovibe/contract'
import { z } from 'zod'
import { substrateTokenContext } from '../security/secrets.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { LOCAL, listSubstrates, readSubstrate } from './read/substrates.ts'
import {
  assertConfig,
  assertKeepsMachines,
  assertNameIsFree,
  assertNothingElsewhere,
  assertNotInUse,
  assertSecretStays,
  assertVersion,
  etagOf,
} from './substrate-rules.ts'

const tags = ['substrates']
export const SubstratePath = z.object({ substrate: Name })

export function registerSubstrates(app: Api, context: ApiContext): void {
  const { db, runtime, secrets } = context
  const params = SubstratePath

  app.get(
    '/v1/substrates',
    {
      schema: {
        tags,
        operationId: 'listSubstrates',
        summary: 'List what machines can be made on, by name',
        querystring: PageQuery.strict(),
        response: { 200: pageOf(Substrate) },
      },
    },
    (request) => listSubstrates(db, request.query),
  )

  app.post(
    '/v1/substrates',
    {
      schema: {
        tags,
        operationId: 'createSubstrate',
        summary: 'Bring a Proxmox cluster',
        description: 'It is only remembered: probe it, and then use it.',
        body: CreateSubstrate.strict(),
        response: { 201: Substrate },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'substrate.create', status: 201 }, async (tx) => {
        const { name, token_secret, ...given } = request.body
        const config = ProxmoxConfig.parse(given)
        assertConfig(config)
        await assertNameIsFree(tx, name)
        const token_sealed = secrets.seal(token_secret, substrateTokenContext(name))
        await tx
          .insertInto('substrates')
          .values({ name, kind: 'proxmox', config: JSON.stringify(config), token_sealed, updated_at: runtime.now() })
          .execute()
        return { body: await readSubstrate(tx, name), subject: name, detail: { doors: config.doors.map(({ url }) => url), token_id: config.token_id } }
      }),
  )

  app.get(
    '/v1/substrates/:substrate',
    { schema: { tags, operationId: 'getSubstrate', summary: 'Show a substrate', params, response: { 200: ShownSubstrate } } },
    async (request, reply) => {
      const substrate = await readSubstrate(db, request.params.substrate)
      reply.header('etag', etagOf(substrate))
      const { findings } = await context.info()
      return { ...substrate, findings: substrate.serves ? findings.filter(({ status }) => status !== 'ok') : [] }
    },
  )

  app.patch(
    '/v1/substrates/:substrate',
    {
      schema: {
        tags,
        operationId: 'updateSubstrate',
        summary: 'Change how a cluster is worked with',
        description:
          'Asks for If-Match with the ETag of the substrate. What is left out stays. A Hub that works with the cluster goes by it from its next start on.',
        params,
        body: UpdateSubstrate.strict(),
        response: { 200: Substrate },
      },
    },
    async (request, reply) => {
      const substrate = await change(context, request, reply, { action: 'substrate.update', status: 200 }, async (tx) => {
        const { substrate: name } = request.params
        await tx.selectFrom('substrates').select('name').where('name', '=', name).forUpdate().execute()
        const before = await readSubstrate(tx, name)
        assertVersion(request.headers['if-match'], before)
        const { token_secret, ...given } = request.body
        const config = ProxmoxConfig.parse({ ...before.proxmox, ...given })
        assertConfig(config)
        assertKeepsMachines(before, config)
        assertSecretStays(before, config, token_secret !== undefined)
        await tx
          .updateTable('substrates')
          .set((eb) => ({
            config: JSON.stringify(config),
            version: eb('version', '+', 1n),
            updated_at: runtime.now(),
            ...(token_secret === undefined ? {} : { token_sealed: secrets.seal(token_secret, substrateTokenContext(name)) }),
          }))
          .where('name', '=', name)
          .execute()
        const detail = { changed: Object.keys(given), secret_changed: token_secret !== undefined }
        return { body: await readSubstrate(tx, name), subject: name, detail }
      })
      reply.header('etag', etagOf(substrate))
      return substrate
    },
  )

  app.delete(
    '/v1/substrates/:substrate',
    {
      schema: {
        tags,
        operationId: 'deleteSubstrate',
        summary: 'Forget a cluster with its token; the answer is what it was',
        description: 'Refused while the Hub works with it. Nothing is changed on the cluster.',
        params,
        response: { 200: Substrate },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'substrate.delete', status: 200 }, async (tx) => {
        const { substrate: name } = request.params
        await tx.selectFrom('substrates').select('name').where('name', '=', name).forUpdate().execute()
        const substrate = await readSubstrate(tx, name)
        await assertNotInUse(tx, substrate)
        await tx.deleteFrom('substrates').where('name', '=', name).execute()
        return { body: substrate, subject: name }
      }),
  )

  app.post(
    '/v1/substrates/:substrate/use',
    {
      schema: {
        tags,
        operationId: 'useSubstrate',
        summary: 'Make machines on it from the next start of the Hub on',
        description: 'Refused while machines live on another one. `local` is this host.',
        params,
        response: { 200: UsedSubstrate },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'substrate.use', status: 200 }, async (tx) => {
        const { substrate: name } = request.params
        // All of them, in one order, so that two people who choose at once take turns.
        await tx.selectFrom('substrates').select('name').orderBy('name').forUpdate().execute()
        const wanted = await readSubstrate(tx, name)
        if (!wanted.serves) await assertNothingElsewhere(tx, wanted)
        await tx.updateTable('substrates').set({ in_use: false }).where('in_use', '=', true).where('name', '<>', name).execute()
        if (name !== LOCAL) await tx.updateTable('substrates').set({ in_use: true }).where('name', '=', name).execute()
        const takes_effect = wanted.serves ? ('now' as const) : ('at the next start of the Hub' as const)
        return { body: { ...(await readSubstrate(tx, name)), takes_effect }, subject: name, detail: { takes_effect } }
      }),
  )
}
