/** Answers with what is made while it is sent: one piece at a time, no faster than the client takes it, and no longer than it is there. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** A client that takes nothing for so long is cut off. */
const STALLED_MS = 60_000
/** What is sent at once: that it is on its way shows only when all of it is, and a slow client takes a large piece in more than `STALLED_MS`. */
const SENT_BYTES = 256 * 1024

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
  pieces: AsyncGenerator<string | Uint8Array, void>,
  { signal, stalledMs = STALLED_MS }: { readonly signal: AbortSignal; readonly stalledMs?: number | undefined },
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
    // Its last bytes are as much to be taken as those before them.
    if (!response.writableFinished) await taken(response, 'finish', signal, stalledMs)
  } catch (error) {
    if (!response.headersSent) throw error
    if (!signal.aborted) request.log.warn({ err: error }, 'an answer broke off')
    if (signal.aborted || response.writableNeedDrain || response.writableEnded) response.destroy()
    // Behind what is on its way to a client that takes it.
    else response.write('', () => response.destroy())
  } finally {
    await pieces.return()
  }
  return reply
}

async function write(response: ServerResponse, piece: string | Uint8Array, signal: AbortSignal, stalledMs: number): Promise<void> {
  const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece
  for (let at = 0; at < bytes.length; at += SENT_BYTES) {
    if (!response.write(bytes.subarray(at, at + SENT_BYTES))) await taken(response, 'drain', signal, stalledMs)
  }
}

async function taken(response: ServerResponse, event: 'drain' | 'finish', signal: AbortSignal, stalledMs: number): Promise<void> {
  // One that is taken back: there may be very many of them.
  const stalled = new AbortController()
  const timer = setTimeout(() => stalled.abort(new Error('the client takes nothing')), stalledMs)
  try {
    await once(response, event, { signal: AbortSignal.any([signal, stalled.signal]) })
  } finally {
    clearTimeout(timer)
  }
}
