/** Answers with what is made while it is sent: one piece at a time, no faster than the client takes it, and no longer than it is there. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** A client that takes nothing for so long is cut off. */
const STALLED_MS = 60_000

/** A signal that fires when the client leaves or the Hub closes. */
export function whileThere(reply: FastifyReply, closing: AbortSignal): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  return AbortSignal.any([gone.signal, closing])
}

/**
 * What fails before the first piece is an ordinary problem. What fails later breaks the connection off behind the pieces that were sent, so that no client takes it for
 * the end; the pieces themselves say it where they can.
 */
export async function answerStream(
  request: FastifyRequest,
  reply: FastifyReply,
  headers: Readonly<Record<string, string>>,
  pieces: AsyncGenerator<string, void>,
  signal: AbortSignal,
): Promise<FastifyReply> {
  const response = reply.raw
  try {
    let piece = await pieces.next()
    // Once hijacked, nobody else answers.
    reply.hijack()
    response.writeHead(200, { ...headers, 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-request-id': request.id })
    for (; !piece.done; piece = await pieces.next()) {
      signal.throwIfAborted()
      await write(response, piece.value, signal)
    }
    response.end()
  } catch (error) {
    if (!response.headersSent) throw error
    if (!signal.aborted) request.log.warn({ err: error }, 'an answer broke off')
    // Behind what waits to be sent.
    response.write('', () => response.destroy())
    if (signal.aborted) response.destroy()
  } finally {
    await pieces.return()
  }
  return reply
}

async function write(response: ServerResponse, text: string, signal: AbortSignal): Promise<void> {
  if (response.write(text)) return
  await once(response, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(STALLED_MS)]) })
}
