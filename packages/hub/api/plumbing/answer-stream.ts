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
  { signal, stalledMs = STALLED_MS }: { readonly signal: AbortSignal; readonly stalledMs?: number },
): Promise<FastifyReply> {
  const response = reply.raw
  try {
    let piece = await pieces.next()
    // Once hijacked, nobody else answers.
    reply.hijack()
    response.writeHead(200, { ...headers, 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-request-id': request.id })
    for (; !piece.done; piece = await pieces.next()) {
      signal.throwIfAborted()
      await write(response, piece.value, signal, stalledMs)
    }
    response.end()
  } catch (error) {
    if (!response.headersSent) throw error
    if (!signal.aborted) request.log.warn({ err: error }, 'an answer broke off')
    if (signal.aborted || response.writableNeedDrain) response.destroy()
    // Behind what is on its way to a client that takes it.
    else response.write('', () => response.destroy())
  } finally {
    await pieces.return()
  }
  return reply
}

async function write(response: ServerResponse, text: string, signal: AbortSignal, stalledMs: number): Promise<void> {
  if (response.write(text)) return
  // One that is taken back: there may be very many of them.
  const stalled = new AbortController()
  const timer = setTimeout(() => stalled.abort(new Error('the client takes nothing')), stalledMs)
  try {
    await once(response, 'drain', { signal: AbortSignal.any([signal, stalled.signal]) })
  } finally {
    clearTimeout(timer)
  }
}
