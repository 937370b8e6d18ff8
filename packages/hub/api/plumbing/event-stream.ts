/** One reader of the event stream over SSE: reads a page, writes it, waits for the reader to take it, then for the next commit. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { AutovibeError, type Event } from '@autovibe/contract'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type EventFilter, type Place, readEvents } from '../read/events.ts'
import type { ApiContext } from './deps.ts'

const STREAMS_MAX = 200
const PAGE = 200
const HEARTBEAT_MS = 15_000
/** A reader that takes nothing for so long is cut off; it resumes with its last cursor. */
const STALLED_MS = 60_000
/** How soon to look again for an event that an older transaction holds back: its commit was announced already, the older one's may never be. */
const HELD_MS = 20

/** Streams until the reader goes or the Hub closes; at most one page is held for a reader, however slow. */
export async function openStream(context: ApiContext, request: FastifyRequest, reply: FastifyReply, filter: EventFilter, after: Place): Promise<FastifyReply> {
  if (context.load.streams >= STREAMS_MAX) {
    throw new AutovibeError('request.rate_limited', `${STREAMS_MAX} streams are open already.`, {
      fix: 'Close one, or read pages with "Accept: application/json".',
    })
  }
  context.load.streams++
  const response = reply.raw
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const end = AbortSignal.any([gone.signal, context.closing])
  reply.hijack()
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // nginx would collect events before it passes them on.
    'x-accel-buffering': 'no',
    // A stream ends with its connection; kept alive, it would keep a closing Hub waiting.
    connection: 'close',
    'x-request-id': request.id,
  })
  try {
    await stream(context, response, filter, after, end)
  } catch (error) {
    if (!end.aborted) request.log.warn({ err: error }, 'an event stream broke off')
  } finally {
    context.load.streams--
    response.end()
    // A reader that left bytes untaken would keep the connection open.
    if (response.writableLength > 0) response.destroy()
  }
  return reply
}

async function stream(context: ApiContext, response: ServerResponse, filter: EventFilter, after: Place, end: AbortSignal): Promise<void> {
  let place = after
  let lastWriteMs = Date.now()
  // The place at once: a reader that loses the connection before its first event resumes where it began.
  await write(response, `id: ${after.xid}-${after.seq}\nretry: 1000\n\n`, end)
  while (!end.aborted) {
    const look = new AbortController()
    const changed = context.changes.next(AbortSignal.any([end, look.signal]))
    const batch = await readEvents(context.db, filter, place, PAGE)
    place = batch.next
    if (batch.events.length > 0) {
      await write(response, batch.events.map(toFrame).join(''), end)
      lastWriteMs = Date.now()
    } else if (Date.now() - lastWriteMs >= HEARTBEAT_MS) {
      await write(response, ': still here\n\n', end)
      lastWriteMs = Date.now()
    }
    if (batch.more) {
      look.abort()
      continue
    }
    const timer = batch.held ? setTimeout(() => look.abort(), HELD_MS) : undefined
    await changed
    clearTimeout(timer)
  }
}

const toFrame = (event: Event): string => `id: ${event.cursor}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

async function write(response: ServerResponse, text: string, end: AbortSignal): Promise<void> {
  if (response.write(text) || end.aborted) return
  await once(response, 'drain', { signal: AbortSignal.any([end, AbortSignal.timeout(STALLED_MS)]) })
}
