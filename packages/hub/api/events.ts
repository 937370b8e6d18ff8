/** `/v1/events`: everything that happens, as a stream that can be resumed, or as pages. */
import { Event, EventQuery, pageOf } from '@autovibe/contract'
import { z } from 'zod'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { openStream } from './plumbing/event-stream.ts'
import { placeOf, readEndOfEvents, readEvents, START } from './read/events.ts'

const PAGE = 100

export function registerEvents(app: Api, context: ApiContext): void {
  app.get(
    '/v1/events',
    {
      schema: {
        tags: ['events'],
        operationId: 'listEvents',
        summary: 'Follow what happens',
        description:
          'Answers as text/event-stream, which goes on behind Last-Event-ID or `after` (0-0 is the beginning; without either, from now on) and does not end; with "Accept: application/json" as a page (without `after`, the first), whose ' +
          'next_cursor is an event cursor and null when there is nothing more yet.',
        querystring: EventQuery.strict(),
        response: {
          200: { description: 'The events', content: { 'application/json': { schema: pageOf(Event) }, 'text/event-stream': { schema: z.string() } } },
        },
      },
    },
    async (request, reply) => {
      const resumed = request.headers['last-event-id']
      const cursor = typeof resumed === 'string' && resumed !== '' ? resumed : request.query.after
      const after = cursor === undefined ? undefined : placeOf(cursor)
      if (!wantsJson(request.headers.accept)) return openStream(context, request, reply, request.query, after ?? (await readEndOfEvents(context.db)))
      const limit = request.query.limit ?? PAGE
      const batch = await readEvents(context.db, request.query, after ?? START, limit)
      return { items: batch.events, next_cursor: batch.more ? (batch.events.at(-1)?.cursor ?? null) : null }
    },
  )
}

const wantsJson = (accept: string | undefined): boolean => accept?.includes('application/json') === true && !accept.includes('text/event-stream')
