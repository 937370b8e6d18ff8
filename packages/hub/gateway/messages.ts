/** One `POST /v1/messages`: read, bounded, admitted, sent, passed back, settled. */
import { AutovibeError } from '@autovibe/contract'
import { type ReadRequest, readRequest } from '@autovibe/core/budgets/anthropic-request.ts'
import { boundCall, boundInputTokens } from '@autovibe/core/budgets/bound.ts'
import { replaceTopLevel } from '@autovibe/core/budgets/json-text.ts'
import { findPrice } from '@autovibe/core/budgets/prices.ts'
import { admit } from './admission.ts'
import type { Call, CallTools } from './call.ts'
import { Charge } from './charge.ts'
import { relayAnswer } from './relay.ts'
import { parseBody, readBody } from './request-body.ts'

/** Makes the call; throws only before anything was sent to the provider, with nothing held. */
export async function callMessages(tools: CallTools, call: Call): Promise<void> {
  const { caller, client } = call
  const body = await readBody(call.req)
  const json = parseBody(body)
  const facts = factsOf(readRequest(json.value, body.length))
  const price = findPrice(tools.prices, facts.model)
  if (!price) {
    throw new AutovibeError('model.unpriced', `The model ${JSON.stringify(facts.model.slice(0, 200))} has no known price, so its cost cannot be bounded.`, {
      fix: `Use a model with a price, for example ${[...tools.prices.models.keys()].at(-1)}.`,
    })
  }
  const bound = boundCall(price, boundInputTokens(facts.size, price))
  const admission = await admit(tools, {
    // A retry of the client is a new call upstream, which is billed anew: each takes its own hold.
    key: `gateway ${tools.runtime.newId('event')}`,
    holder: `gateway ${caller.subject.machineId}`,
    budgetId: caller.budgetId,
    bound,
    maxTokens: facts.maxTokens,
    thinkingTokens: facts.thinkingTokens,
    signal: client.leaves,
  })
  const clamped = admission.maxTokens < facts.maxTokens
  const charge = new Charge({
    ...tools,
    ...admission,
    price,
    subject: caller.subject,
    provider: caller.provider,
    askedModel: facts.model,
    askedMaxTokens: facts.maxTokens,
  })
  if (client.gone) return charge.release()
  if (clamped) await tellClamp(tools, call, facts, admission.maxTokens)
  await relayAnswer(tools, call, charge, {
    path: `/v1/messages${call.search}`,
    body: clamped ? replaceTopLevel(json.text, json.scan, 'max_tokens', admission.maxTokens.toString()) : body,
    ownHeaders: {
      'autovibe-reservation': admission.reservation.id,
      ...(clamped ? { 'autovibe-max-tokens': admission.maxTokens.toString(), 'autovibe-asked-max-tokens': facts.maxTokens.toString() } : {}),
    },
  })
}

/** The facts of a request that may be made; `request.invalid` or `model.unbounded` otherwise. */
export function factsOf(read: ReadRequest): Extract<ReadRequest, { kind: 'ok' }>['facts'] {
  if (read.kind === 'ok') return read.facts
  if (read.kind === 'invalid') throw new AutovibeError('request.invalid', `${read.message}.`)
  throw new AutovibeError('model.unbounded', `The cost of a call with ${read.field} has no upper bound.`, { fix: `Leave out ${read.field}.` })
}

async function tellClamp(tools: CallTools, { caller }: Call, facts: { readonly model: string; readonly maxTokens: bigint }, maxTokens: bigint): Promise<void> {
  const data = { model: facts.model, provider: caller.provider, asked_max_tokens: facts.maxTokens.toString(), max_tokens: maxTokens.toString() }
  await tools.events
    .tell('gateway.call_clamped', caller.subject.machineId, data)
    .catch((error: unknown) => tools.logger.warn({ err: error }, 'a clamp could not be told'))
}
