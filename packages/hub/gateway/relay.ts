/** Sends an admitted call and passes its answer back; whatever happens on the way, the hold ends by what is known then. */
import type { OutgoingHttpHeaders } from 'node:http'
import { AutovibeError } from '@autovibe/contract'
import { NO_USAGE, type UsageSoFar } from '@autovibe/core/budgets/usage.ts'
import type { Call, CallTools } from './call.ts'
import type { Charge } from './charge.ts'
import { type Ending, Exchange } from './exchange.ts'
import { LIMITS } from './limits.ts'
import { sendRefusal } from './refusal.ts'
import { responseHeaders } from './upstream.ts'
import { describeFailure, nameOf, wasNeverSent } from './upstream-failures.ts'
import type { Visit } from './upstream-health.ts'
import type { CallFacts } from './wires/wire.ts'

export interface Outgoing {
  readonly facts: CallFacts
  readonly body: Uint8Array | string
  readonly ownHeaders: OutgoingHttpHeaders
}

/** Relays one call; never rejects for what the provider or the client does. */
export async function relayAnswer(tools: CallTools, call: Call, charge: Charge, outgoing: Outgoing): Promise<void> {
  const visit = tools.health.begin(call.caller)
  const ending = visit && (await exchange(tools, call, charge, outgoing, visit))
  // Another call has just begun to try whether the provider answers.
  if (!ending) return charge.release().then(() => Promise.reject(tools.health.refusal(call.caller) ?? unavailable(call, null)))
  switch (ending.kind) {
    case 'refusal':
      return passRefusal(tools, call, charge, ending)
    case 'message':
      return passMessage(call, charge, ending, outgoing.ownHeaders)
    case 'stream':
      return endStream(tools, call, charge, ending)
    case 'failure':
      return giveUp(tools, call, charge, ending.error)
  }
}

function exchange(tools: CallTools, call: Call, charge: Charge, outgoing: Outgoing, visit: Visit): Promise<Ending> {
  const { wire, client, res, req, caller } = call
  return new Promise((resolve) => {
    let drainTimer: NodeJS.Timeout | undefined
    const started = new Exchange({
      client,
      res,
      ownHeaders: outgoing.ownHeaders,
      tap: () => wire.tapStream(outgoing.facts),
      onFirstByte() {
        visit.answered()
        charge.noteFirstByte()
      },
      onEnd(ending) {
        clearTimeout(drainTimer)
        if (ending.kind === 'failure') visit.failed(ending.error, outgoing.facts.stream)
        else visit.answered()
        client.leaves.removeEventListener('abort', onLeave)
        tools.closing.removeEventListener('abort', onClose)
        resolve(ending)
      },
    })
    // The exact figures come last, so the answer is read on for a while after the client has left.
    const onLeave = () => {
      drainTimer = setTimeout(() => started.abort(new Error('the client has gone')), LIMITS.drainMs)
    }
    const onClose = () => started.abort(new Error('the gateway closes'))
    if (client.gone) onLeave()
    else client.leaves.addEventListener('abort', onLeave)
    if (tools.closing.aborted) onClose()
    else tools.closing.addEventListener('abort', onClose)
    const path = `${wire.upstreamPath}${call.search}`
    const { target } = caller
    tools.upstream.dispatch({ target, path, headers: req.headers, keyHeaders: wire.keyHeaders(target.key), body: outgoing.body }, started)
  })
}

/** A status that says no: nothing was billed, the provider's own words go back as they are. */
async function passRefusal(tools: CallTools, call: Call, charge: Charge, ending: Extract<Ending, { kind: 'refusal' }>): Promise<void> {
  await charge.release()
  const { res, caller } = call
  if (ending.status < 400) {
    const message = `The provider ${caller.provider} sends its callers elsewhere (status ${ending.status}).`
    return sendRefusal(call.wire, res, new AutovibeError('provider.unavailable', message, { fix: 'Check its base URL: autovibe doctor' }))
  }
  const keyRefused = ending.status === 401 || ending.status === 403
  if (keyRefused) {
    const data = {
      code: 'provider.key_refused',
      provider: caller.provider,
      status: ending.status,
      fix: `Give it a valid key: autovibe provider set ${caller.provider} --key-stdin`,
    }
    await tools.events.tell('gateway.call_refused', caller.subject.machineId, data)
  }
  if (call.client.gone || res.headersSent) return
  const headers: OutgoingHttpHeaders = { ...responseHeaders(ending.headers), 'content-length': ending.body.length }
  // A refused key stays refused; without this, agents try for a minute.
  if (keyRefused) headers['x-should-retry'] = 'false'
  res.writeHead(ending.status, headers)
  res.end(ending.body)
}

/** A whole message: settled before it is handed over, so that its cost stands in its headers and in the ledger. */
async function passMessage(call: Call, charge: Charge, ending: Extract<Ending, { kind: 'message' }>, ownHeaders: OutgoingHttpHeaders): Promise<void> {
  const usage = usageOfBody(call, ending.body)
  const cost = await charge.settle(usage, { clientGone: call.client.gone, ...(usage.completeness === 'full' ? {} : { cutBy: 'no usage' }) })
  if (call.client.gone) return
  const headers = { ...responseHeaders(ending.headers), ...ownHeaders, 'autovibe-cost': cost.toString(), 'content-length': ending.body.length }
  call.res.writeHead(ending.status, headers)
  call.res.end(ending.body)
}

/** The end of a stream, which the client has seen but for its very last: that waits for the settlement. */
async function endStream(tools: CallTools, call: Call, charge: Charge, { tap, error }: Extract<Ending, { kind: 'stream' }>): Promise<void> {
  const { client, res, caller } = call
  let cutBy = error === null ? undefined : nameOf(error)
  if (tap.refusedBeforeStart) await charge.release()
  else {
    if (tap.usage.completeness !== 'full') cutBy ??= 'ended without usage'
    await charge.settle(tap.usage, { clientGone: client.gone, ...(cutBy === undefined ? {} : { cutBy }) })
  }
  if (client.gone) return
  if (!tap.ended) {
    tools.logger.warn({ cause: cutBy, provider: caller.provider, run_id: caller.subject.runId }, 'a stream was cut off')
    // An event that was too long to hold back may have ended in the middle.
    client.send(`\n\n${call.wire.errorEvent(unavailable(call, error))}`)
  }
  res.end()
}

/** No answer, or half of one that nobody has seen. Only a connection that was never made is known not to be billed. */
async function giveUp(tools: CallTools, call: Call, charge: Charge, error: Error): Promise<void> {
  if (wasNeverSent(error)) await charge.release()
  else await charge.settle(NO_USAGE, { clientGone: call.client.gone, cutBy: nameOf(error) })
  const refusal = tools.health.refusal(call.caller) ?? unavailable(call, error)
  tools.logger.warn({ cause: nameOf(error), provider: call.caller.provider, run_id: call.caller.subject.runId }, 'a model call got no answer')
  throw refusal
}

function usageOfBody(call: Call, body: Buffer): UsageSoFar {
  try {
    return call.wire.usageOfAnswer(JSON.parse(body.toString('utf8')))
  } catch {
    // An answer that is no JSON has no figures: the call is settled at its bound.
    return NO_USAGE
  }
}

function unavailable({ caller }: Call, cause: Error | null): AutovibeError {
  const message =
    cause !== null && wasNeverSent(cause)
      ? `The provider ${caller.provider} cannot be reached at ${caller.target.baseUrl} (${describeFailure(cause)}).`
      : `The provider ${caller.provider} gave no complete answer${cause === null ? '' : ` (${describeFailure(cause)})`}.`
  return new AutovibeError('provider.unavailable', message, { fix: 'Check it: autovibe doctor', ...(cause === null ? {} : { cause }) })
}
