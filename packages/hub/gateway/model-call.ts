/** One billed call, on any wire: read, bounded, admitted, sent, passed back, settled. */
import { AutovibeError } from '@autovibe/contract'
import { boundCall, boundInputTokens } from '@autovibe/core/budgets/bound.ts'
import { least } from '@autovibe/core/budgets/extremes.ts'
import { findPrice, type ModelPrice, type PriceTable } from '@autovibe/core/budgets/prices.ts'
import { admit } from './admission.ts'
import type { Call, CallTools } from './call.ts'
import { CapHolds } from './caps.ts'
import { Charge } from './charge.ts'
import { relayAnswer } from './relay.ts'
import { parseBody, readBody } from './request-body.ts'
import { countedBound } from './tight-bound.ts'
import type { CallFacts } from './wires/wire.ts'

/** Makes the call; rejects only while nobody has been answered. */
export async function makeModelCall(tools: CallTools, call: Call): Promise<void> {
  const { caller, client, wire } = call
  const body = await readBody(call.req)
  const json = parseBody(body)
  const facts = wire.readFacts(json, body.length)
  caller.settings.assertAllowed(facts.model)
  const prices = caller.settings.prices(wire.prices)
  const price = priceOf(prices, facts.model)
  const askedTokens = least(facts.maxTokens ?? price.contextWindowTokens, price.contextWindowTokens)
  const down = tools.health.refusal(caller)
  if (down) throw down
  const inputTokens = boundInputTokens(facts.size, price)
  const { reservation, maxTokens } = await tools.windDown.through(caller, (isClosing) =>
    admit(tools, {
      // A retry of the client is a new call upstream, which is billed anew: each takes its own hold.
      key: `gateway ${tools.runtime.newId('event')}`,
      holder: `gateway ${caller.subject.machineId}`,
      subject: caller.subject,
      budgetId: caller.budgetId,
      handBackOf: isClosing ? caller.subject.runId : undefined,
      bound: boundCall(price, inputTokens, facts.choices),
      tighten: async () => {
        const counted = await countedBound(tools, call, json, inputTokens)
        return counted === null ? null : boundCall(price, counted, facts.choices)
      },
      maxTokens: askedTokens,
      thinkingTokens: facts.thinkingTokens,
      signal: client.leaves,
    }),
  )
  // It may have to wait for other calls.
  tools.leases.keep(reservation.id)
  const caps = await CapHolds.hold(tools, {
    caps: caller.caps,
    subject: caller.subject,
    holder: `gateway ${caller.subject.machineId}`,
    boundTokens: inputTokens + maxTokens * facts.choices,
    signal: client.leaves,
  }).catch(async (refusal: unknown) => {
    tools.leases.drop(reservation.id)
    await tools.ledger.release(reservation.id)
    tools.moneyBack.ring()
    throw refusal
  })
  const charge = new Charge({
    ...tools,
    reservation,
    caps,
    maxTokens,
    price,
    prices,
    choices: facts.choices,
    subject: caller.subject,
    provider: caller.provider,
    askedModel: facts.model,
    askedMaxTokens: askedTokens,
  })
  if (client.gone) return charge.release()
  const clamped = maxTokens < askedTokens
  if (clamped) await tellClamp(tools, call, facts, maxTokens)
  await relayAnswer(tools, call, charge, {
    facts,
    body: wire.outgoing(json, body, facts, maxTokens),
    ownHeaders: {
      'autovibe-reservation': reservation.id,
      ...(clamped ? { 'autovibe-max-tokens': maxTokens.toString(), 'autovibe-asked-max-tokens': askedTokens.toString() } : {}),
    },
  })
}

function priceOf(prices: PriceTable, model: string): ModelPrice {
  const price = findPrice(prices, model)
  if (price) return price
  throw new AutovibeError('model.unpriced', `The model ${JSON.stringify(model.slice(0, 200))} has no known price, so its cost cannot be bounded.`, {
    fix: `Use a model with a price, for example ${[...prices.models.keys()].at(-1)}.`,
  })
}

async function tellClamp(tools: CallTools, { caller }: Call, facts: CallFacts, maxTokens: bigint): Promise<void> {
  const asked = facts.maxTokens === null ? {} : { asked_max_tokens: facts.maxTokens.toString() }
  const data = { model: facts.model, provider: caller.provider, ...asked, max_tokens: maxTokens.toString() }
  await tools.events
    .tell('gateway.call_clamped', caller.subject.machineId, data)
    .catch((error: unknown) => tools.logger.warn({ err: error }, 'a clamp could not be told'))
}
