/** `/metrics`: what Prometheus scrapes, in its own text form and so outside of `/v1`. */
import { z } from 'zod'
import type { Api, ApiContext } from './plumbing/deps.ts'

export function registerMetrics(app: Api, { metrics }: ApiContext): void {
  app.get(
    '/metrics',
    {
      schema: {
        tags: ['hub'],
        operationId: 'getMetrics',
        summary: 'Figures for Prometheus',
        description: 'In the text form of Prometheus. The scrape carries a key as its bearer token.',
        response: { 200: z.string() },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  )
}
