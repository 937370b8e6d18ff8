/** The caps of other resources than money that a call comes under: held before it is sent, ended with it. Most calls come under none. */
import { AutovibeError, type BudgetId, type Resource } from '@autovibe/contract'
import type { Logger } from 'pino'
import { BudgetRefusal, type Consumption, type Ledger, type Reservation, type Subject } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import type { Bell } from './bell.ts'
import type { Leases } from './leases.ts'
import { LIMITS } from './limits.ts'

export interface CapTools {
  readonly ledger: Ledger
  readonly runtime: Runtime
  readonly logger: Logger
  readonly leases: Leases
  readonly moneyBack: Bell
}

export interface CapRequest {
  /** The narrowest budget of each capped resource, without money. */
  readonly caps: ReadonlyMap<Resource, BudgetId>
  readonly subject: Subject
  readonly holder: string
  /** The most tokens that the call can take. */
  readonly boundTokens: bigint
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

interface Held {
  readonly resource: Resource
  readonly reservation: Reservation
}

/** What comes back by other calls rings the bell; what comes back by a raised limit does not. */
const LOOK_AGAIN_MS = 1_000

export class CapHolds {
  readonly #tools: CapTools
  readonly #subject: Subject
  readonly #held: readonly Held[]

  private constructor(tools: CapTools, subject: Subject, held: readonly Held[]) {
    this.#tools = tools
    this.#subject = subject
    this.#held = held
    for (const { reservation } of held) tools.leases.keep(reservation.id)
  }

  /** Holds all or nothing, or throws the ledger's refusal; `request.rate_limited` after too long a wait for other calls. */
  static async hold(tools: CapTools, request: CapRequest): Promise<CapHolds> {
    const { caps, subject, signal } = request
    const deadlineMs = tools.runtime.now().getTime() + LIMITS.admissionMs
    while (caps.size > 0) {
      const { held, refusal } = await tryAll(tools, request)
      if (refusal === undefined) return new CapHolds(tools, subject, held)
      if (!(refusal instanceof BudgetRefusal && refusal.isHeldByOthers)) throw refusal
      if (signal.aborted) throw new AutovibeError('request.invalid', 'The client has gone.')
      if (tools.runtime.now().getTime() >= deadlineMs) {
        throw new AutovibeError('request.rate_limited', 'All that is left of a budget is held by other calls under way.', {
          fix: 'Try again when they have ended.',
        })
      }
      await tools.moneyBack.wait(LOOK_AGAIN_MS, signal)
    }
    return new CapHolds(tools, subject, [])
  }

  /** Settles the call and its tokens, at their bound when nobody knows better; what only had to be left comes back. */
  settle(tokens: bigint | null, model: Pick<Consumption, 'provider' | 'model'>): Promise<void> {
    return this.#end(({ resource, reservation }) => {
      if (resource !== 'tokens' && resource !== 'api_calls') return this.#tools.ledger.release(reservation.id)
      const isKnown = resource === 'api_calls' || tokens !== null
      const amount = resource === 'api_calls' || tokens === null ? reservation.amount : tokens
      const quality = isKnown ? 'measured' : 'estimated'
      return this.#tools.ledger.settle(reservation.id, { ...this.#subject, ...model, resource, amount, quality, cost: 0n })
    })
  }

  /** Gives everything back: no call was made. */
  release(): Promise<void> {
    return this.#end(({ reservation }) => this.#tools.ledger.release(reservation.id))
  }

  async #end(how: (held: Held) => Promise<unknown>): Promise<void> {
    const { leases, logger } = this.#tools
    await Promise.all(
      this.#held.map(async (held) => {
        leases.drop(held.reservation.id)
        // As with money, the hold stays then, and is settled in full when its lease runs out.
        await how(held).catch((err: unknown) => logger.error({ err, reservation_id: held.reservation.id }, 'the hold of a model call could not be ended'))
      }),
    )
  }
}

/** Of seconds and bytes a call takes none, but it is not made when none are left. */
const amountOf = (resource: Resource, boundTokens: bigint): bigint => (resource === 'tokens' ? boundTokens : 1n)

async function tryAll({ ledger, runtime }: CapTools, { caps, subject, holder, boundTokens }: CapRequest): Promise<{ held: Held[]; refusal?: unknown }> {
  const outcomes = await Promise.allSettled(
    [...caps].map(async ([resource, budgetId]): Promise<Held> => {
      const amount = amountOf(resource, boundTokens)
      const key = `gateway ${runtime.newId('event')}`
      return { resource, reservation: await ledger.reserve({ key, budgetId, holder, subject, amount, leaseMs: LIMITS.leaseMs }) }
    }),
  )
  const held = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  if (held.length === outcomes.length) return { held }
  await Promise.all(held.map(({ reservation }) => ledger.release(reservation.id)))
  const refusals = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
  // One that no other call's end can help is the one to tell.
  return { held: [], refusal: refusals.find((refusal) => !(refusal instanceof BudgetRefusal && refusal.isHeldByOthers)) ?? refusals[0] }
}
