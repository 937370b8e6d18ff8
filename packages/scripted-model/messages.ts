/** Answers one Messages request from the script: plain or streamed, whole, failing or cut off. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { chooseReply } from './choose.ts'
import type { OpenCall, RecordedCall } from './record.ts'
import type { Reply, Script } from './script/types.ts'
import { buildAnswer } from './wire/answer.ts'
import { ProviderError } from './wire/errors.ts'
import { type Envelope, encodeEvent, toEvents, toMessage } from './wire/events.ts'
import { json } from './wire/json.ts'
import type { MessagesRequest } from './wire/request.ts'
import type { PromptCache } from './wire/usage.ts'

/** What the answers of one server share. */
export interface Context {
  readonly script: Script
  readonly cache: PromptCache
  /** How often each failing reply has been asked for. */
  readonly failures: Map<Reply, number>
  readonly onCall: (call: RecordedCall) => void | Promise<void>
}

/** How this call of a reply ends before its time. */
interface Failure {
  readonly error: ProviderError | undefined
  /** Events sent before it; undefined for an error instead of an answer. */
  readonly afterEvents: number | undefined
}

/** Ends the response; throws a ProviderError for a refusal, and AbortError when the client goes away. */
export async function answerMessages(context: Context, call: OpenCall, request: MessagesRequest, response: ServerResponse, requestId: string): Promise<void> {
  const { conversation, index, reply } = chooseReply(context.script, request)
  call.conversation = conversation
  call.reply = index
  const failure = failureOf(context, reply)
  if (failure?.error !== undefined && failure.afterEvents === undefined) {
    call.status = failure.error.status
    await context.onCall(call)
    throw failure.error
  }
  const seed = createHash('sha256').update(JSON.stringify(request.messages)).digest('base64url')
  const answer = buildAnswer(reply, request, seed)
  call.usage = context.cache.account(request, reply.usage, answer.outputTokens)
  call.status = 200
  // Listened for from here on, because the hold below may outlast the client.
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  await context.onCall(call)
  gone.signal.throwIfAborted()
  const envelope: Envelope = { id: `msg_01${randomBytes(11).toString('hex')}`, model: request.model, answer, usage: call.usage }
  const sending: Sending = { response, requestId, envelope, delayMs: reply.delayMs, failure, gone: gone.signal, call }
  await (request.stream ? sendStream(sending) : sendMessage(sending))
}

function failureOf({ failures }: Context, reply: Reply): Failure | undefined {
  const { error, times, cutAfterEvents } = reply
  if (error === undefined && cutAfterEvents === undefined) return undefined
  const seen = failures.get(reply) ?? 0
  if (times !== undefined && seen >= times) return undefined
  failures.set(reply, seen + 1)
  if (error === undefined) return { error: undefined, afterEvents: cutAfterEvents }
  return { error: new ProviderError(error.status, error.message, { type: error.type, headers: error.headers }), afterEvents: error.afterEvents }
}

/** One answer on its way. */
interface Sending {
  readonly response: ServerResponse
  readonly requestId: string
  readonly envelope: Envelope
  readonly delayMs: number
  readonly failure: Failure | undefined
  /** Aborted when the client goes away. */
  readonly gone: AbortSignal
  readonly call: OpenCall
}

async function sendMessage({ response, envelope, delayMs, failure, gone, call }: Sending): Promise<void> {
  if (delayMs > 0) await pause(delayMs, undefined, { signal: gone })
  if (failure?.error !== undefined) throw failure.error
  call.outcome = failure === undefined ? 'answered' : 'cut'
  if (failure === undefined) json(response, 200, toMessage(envelope))
  else response.destroy()
}

async function sendStream({ response, requestId, envelope, delayMs, failure, gone, call }: Sending): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
  response.flushHeaders()
  let sent = 0
  for (const event of toEvents(envelope)) {
    if (sent === failure?.afterEvents) break
    if (delayMs > 0) await pause(delayMs, undefined, { signal: gone })
    gone.throwIfAborted()
    if (!response.write(encodeEvent(event))) await once(response, 'drain', { signal: gone })
    sent += 1
  }
  if (failure === undefined) {
    call.outcome = 'answered'
    response.end()
  } else if (failure.error !== undefined) {
    call.outcome = 'error'
    response.end(encodeEvent(failure.error.body(requestId)))
  } else {
    call.outcome = 'cut'
    // Destroying at once would also drop the events that still wait in this process.
    if (sent > 0) await new Promise((resolve) => response.write('', resolve))
    response.destroy()
  }
}
