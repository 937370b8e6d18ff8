/** `/v1/substrates/:substrate/template…`: the making of a template, with a token that is in the memory of this request alone. */
import { AskTemplateGrants, AutovibeError, BuildTemplate, type ProxmoxConfig, TEMPLATE_EVENTS_TYPE, TemplateGrants } from '@autovibe/contract'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { answerStream, whileThere } from './plumbing/answer-stream.ts'
import { recordAsked } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { readSubstrate } from './read/substrates.ts'
import { SubstratePath } from './substrates.ts'
import { templateEvents } from './template-events.ts'

const tags = ['substrates']

export function registerSubstrateTemplates(app: Api, context: ApiContext): void {
  const { db, runtime, proxmox, closing, stalledMs } = context
  /** Nodes on which one is made now. */
  const underWay = new Set<string>()

  app.post(
    '/v1/substrates/:substrate/template/grants',
    {
      schema: {
        tags,
        operationId: 'askTemplateGrants',
        summary: 'See the lines that make a token for the making of a template, and those that take it away again',
        params: SubstratePath,
        body: AskTemplateGrants.strict(),
        response: { 200: TemplateGrants },
      },
    },
    async (request) => proxmox.templateGrants(request.body, await clusterNamed(db, request.params.substrate)),
  )

  app.post(
    '/v1/substrates/:substrate/template',
    {
      schema: {
        tags,
        operationId: 'buildTemplate',
        summary: 'Make a template on a cluster, or go on making it',
        description:
          'Answers a line of JSON for each step, and one at the end: done, abandoned or failed. The token comes along and is forgotten with the request. Whoever breaks it off and asks again goes on where it was.',
        params: SubstratePath,
        body: BuildTemplate.strict(),
        response: { 200: { description: 'Events, one on each line', content: { [TEMPLATE_EVENTS_TYPE]: { schema: z.any() } } } },
      },
    },
    async (request, reply) => {
      const wish = request.body
      const cluster = await clusterNamed(db, request.params.substrate)
      const { name } = cluster
      const place = `${name} ${wish.node}`
      if (underWay.has(place))
        throw new AutovibeError('conflict.busy', `A template is being made on ${wish.node} of ${name} already.`, {
          fix: 'Wait for its end, or end that command.',
        })
      underWay.add(place)
      // Before anything is awaited: who leaves meanwhile would not be noticed.
      const signal = whileThere(reply, closing)
      try {
        const { node, vmid, token_id, image_url, abandon } = wish
        await recordAsked(context, request, 'substrate.template', { subject: name, detail: { node, vmid, token_id, image_url, abandon } })
        const events = templateEvents((tell) => proxmox.makeTemplate(wish, cluster, { tell, signal }), {
          runtime,
          signal,
          onError: (err) => request.log.warn({ err, substrate: name, node }, 'a template was not made'),
        })
        return await answerStream(request, reply, { 'content-type': TEMPLATE_EVENTS_TYPE }, events, { signal, stalledMs })
      } finally {
        underWay.delete(place)
      }
    },
  )
}

async function clusterNamed(db: Database, name: string): Promise<{ readonly name: string; readonly config: ProxmoxConfig }> {
  const { proxmox } = await readSubstrate(db, name)
  if (proxmox === null) throw new AutovibeError('conflict.state', 'This host needs no template.', { fix: 'autovibe substrate list' })
  return { name, config: proxmox }
}
