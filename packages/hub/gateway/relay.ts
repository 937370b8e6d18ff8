/** Sends an admitted call and passes its answer back; whatever happens on the way, the hold ends by what is known then. */
import type { OutgoingHttpHeaders } from 'node:http'
import { AutovibeError } from '@autovibe/contract'
import { NO_USAGE, type UsageSoFar, usageOfMessage } from '@autovibe/core/budgets/usage.ts'
import type { Dispatcher } from 'undici'
import type { Call, CallTools } from './call.ts'
import type { Charge } from './charge.ts'
import { LIMITS } from './limits.ts'
import { errorEvent, sendRefusal } from './refusal.ts'
import { SseTap } from './sse-tap.ts'
import { responseHeaders, wasNeverSent } from './upstream.ts'

export interface Outgoing {
  readonly path: string
  readonly body: Uint8Array | string
  readonly ownHeaders: OutgoingHttpHeaders
}

type Answer = Dispatcher.ResponseData

/** Relays one call; never throws for what the provider or the client does. */
export async function relayAnswer(tools: CallTools, call: Call, charge: Charge, outgoing: Outgoing): Promise<void> {
  const stop = new AbortController()
  const drain = drainWhenLeft(call, stop)
  try {
    const signal = AbortSignal.any([stop.signal, tools.closing])
    const { caller, req } = call
    const answer = await tools.upstream.send({ target: caller.target, path: outgoing.path, headers: req.headers, body: outgoing.body, signal })
    if (answer.statusCode < 200 || answer.statusCode > 299) await passRefusal(tools, call, charge, answer)
    else if (String(answer.headers['content-type'] ?? '').includes('text/event-stream')) await passStream(tools, call, charge, answer, outgoing.ownHeaders)
    else await passMessage(call, charge, answer, outgoing.ownHeaders)
  } catch (error) {
    // Only a connection that was never made is known not to be billed.
    if (wasNeverSent(error)) await charge.release()
    else await charge.settle(NO_USAGE, { clientGone: call.client.gone, cutBy: nameOf(error) })
    tools.logger.warn({ cause: nameOf(error), provider: call.caller.provider, run_id: call.caller.subject.runId }, 'a model call got no answer')
    sendRefusal(call.res, unavailable(call, error))
  } finally {
    drain.end()
  }
}

/** Reads on for a while after the client has left, because the exact figures come last; then stops. */
function drainWhenLeft(call: Call, stop: AbortController): { end(): void } {
  let timer: NodeJS.Timeout | undefined
  const onLeave = () => {
    timer = setTimeout(() => stop.abort(new Error('the client has gone')), LIMITS.drainMs)
  }
  if (call.client.gone) onLeave()
  else call.client.leaves.addEventListener('abort', onLeave)
  return {
    end: () => {
      clearTimeout(timer)
      call.client.leaves.removeEventListener('abort', onLeave)
    },
  }
}

/** A status that says no: nothing was billed, the provider's own words go back as they are. */
async function passRefusal(tools: CallTools, call: Call, charge: Charge, answer: Answer): Promise<void> {
  await charge.release()
  const { res, caller } = call
  if (answer.statusCode < 400) {
    await answer.body.dump()
    throw new AutovibeError('provider.unavailable', `The provider ${caller.provider} sends its callers elsewhere (status ${answer.statusCode}).`)
  }
  const keyRefused = answer.statusCode === 401 || answer.statusCode === 403
  if (keyRefused) {
    const data = {
      code: 'provider.key_refused',
      provider: caller.provider,
      status: answer.statusCode,
      fix: `Give it a valid key: autovibe provider set ${caller.provider} --key-stdin`,
    }
    await tools.events.tell('gateway.call_refused', caller.subject.machineId, data)
  }
  const body = await collect(answer, LIMITS.errorBytes)
  if (call.client.gone || res.headersSent) return
  const headers: OutgoingHttpHeaders = { ...responseHeaders(answer.headers), 'content-length': body.length }
  // A refused key stays refused; without this, agents try for a minute.
  if (keyRefused) headers['x-should-retry'] = 'false'
  res.writeHead(answer.statusCode, headers)
  res.end(body)
}

/** A whole message: settled before it is handed over, so that its cost stands in its headers. */
async function passMessage(call: Call, charge: Charge, answer: Answer, ownHeaders: OutgoingHttpHeaders): Promise<void> {
  const body = await collect(answer, LIMITS.answerBytes, () => charge.noteFirstByte())
  const usage = usageOfBody(body)
  const cost = await charge.settle(usage, { clientGone: call.client.gone, ...(usage.completeness === 'full' ? {} : { cutBy: 'no usage' }) })
  if (call.client.gone) return
  call.res.writeHead(answer.statusCode, { ...responseHeaders(answer.headers), ...ownHeaders, 'autovibe-cost': cost.toString(), 'content-length': body.length })
  call.res.end(body)
}

/** A stream: each piece goes on as it comes and as fast as the client reads; the end waits for the settlement. */
async function passStream(tools: CallTools, call: Call, charge: Charge, answer: Answer, ownHeaders: OutgoingHttpHeaders): Promise<void> {
  const { client, res } = call
  const tap = new SseTap()
  let cutBy: string | undefined
  if (!client.gone) {
    res.writeHead(answer.statusCode, { ...responseHeaders(answer.headers), ...ownHeaders })
    res.flushHeaders()
  }
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      charge.noteFirstByte()
      tap.push(chunk)
      await client.write(chunk)
    }
  } catch (error) {
    cutBy = nameOf(error)
  }
  tap.end()
  if (tap.refusedBeforeStart) await charge.release()
  else {
    if (tap.usage.completeness !== 'full') cutBy ??= 'ended without usage'
    await charge.settle(tap.usage, { clientGone: client.gone, ...(cutBy === undefined ? {} : { cutBy }) })
  }
  if (client.gone) return
  if (!tap.ended) {
    tools.logger.warn({ cause: cutBy, provider: call.caller.provider, run_id: call.caller.subject.runId }, 'a stream was cut off')
    // The piece before may have ended in the middle of an event.
    await client.write(`\n\n${errorEvent(unavailable(call, cutBy))}`)
  }
  res.end()
}

function usageOfBody(body: Buffer): UsageSoFar {
  try {
    return usageOfMessage(JSON.parse(body.toString('utf8')))
  } catch {
    // An answer that is no JSON has no figures: the call is settled at its bound.
    return NO_USAGE
  }
}

async function collect(answer: Answer, maxBytes: number, onChunk: () => void = () => undefined): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    onChunk()
    size += chunk.length
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size)
}

function unavailable(call: Call, cause: unknown): AutovibeError {
  if (cause instanceof AutovibeError) return cause
  return new AutovibeError('provider.unavailable', `The provider ${call.caller.provider} gave no complete answer.`, { cause, fix: 'Check it: autovibe doctor' })
}

/** A short name of what went wrong, without any text of the request. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const code = (error as NodeJS.ErrnoException).code
  return typeof code === 'string' ? code : error.name
}
