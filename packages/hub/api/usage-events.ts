/** `/v1/usage-events`: what was consumed, as it was measured. */
import { pageOf, UsageEvent, UsageQuery } from '@autovibe/contract'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { listUsageEvents } from './read/usage-events.ts'

export function registerUsageEvents(app: Api, { db }: ApiContext): void {
  app.get(
    '/v1/usage-events',
    {
      schema: {
        tags: ['usage-events'],
        operationId: 'listUsageEvents',
        summary: 'List what was consumed, newest first',
        querystring: UsageQuery.strict(),
        response: { 200: pageOf(UsageEvent) },
      },
    },
    (request) => listUsageEvents(db, request.query),
  )
}
