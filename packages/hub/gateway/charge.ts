/** The money of one call on its way: keeps the lease alive, and ends the hold exactly once. */
import type { MachineId, ProjectId, RunId, TokenCounts } from '@autovibe/contract'
import { type ModelPrice, type PriceTable, TOKEN_KINDS, type Tokens } from '@autovibe/core/budgets/prices.ts'
import { costAtMost, costOfUsage, type UsageSoFar } from '@autovibe/core/budgets/usage.ts'
import type { Logger } from 'pino'
import type { Consumption, Ledger, Reservation } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import type { Bell } from './bell.ts'
import type { CapHolds } from './caps.ts'
import type { Leases } from './leases.ts'

export interface ChargeOptions {
  readonly ledger: Ledger
  readonly runtime: Runtime
  readonly logger: Logger
  readonly moneyBack: Bell
  readonly leases: Leases
  readonly prices: PriceTable
  readonly price: ModelPrice
  readonly reservation: Reservation
  readonly caps: CapHolds
  readonly subject: { readonly projectId: ProjectId; readonly machineId: MachineId; readonly runId: RunId }
  readonly provider: string
  readonly askedModel: string
  readonly askedMaxTokens: bigint
  readonly maxTokens: bigint
  readonly choices: bigint
}

export class Charge {
  readonly #options: ChargeOptions
  readonly #startedMs: number
  #firstByteMs: number | null = null
  #ended = false

  constructor(options: ChargeOptions) {
    this.#options = options
    this.#startedMs = options.runtime.now().getTime()
    options.leases.keep(options.reservation.id)
  }

  noteFirstByte(): void {
    this.#firstByteMs ??= this.#elapsedMs()
  }

  /** Ends the hold by the provider's figures, or at the last known bound when they are incomplete; returns what was charged in nano-US-dollars. */
  async settle(sofar: UsageSoFar, note: { readonly clientGone: boolean; readonly cutBy?: string }): Promise<bigint> {
    const { prices, price, reservation, askedMaxTokens, maxTokens, choices } = this.#options
    const clamped = maxTokens < askedMaxTokens
    const exact = sofar.completeness === 'full'
    const cost = exact
      ? costOfUsage(prices, price, sofar.usage)
      : sofar.completeness === 'input'
        ? costAtMost(prices, price, sofar.usage, maxTokens * choices)
        : reservation.amount
    const consumption: Consumption = {
      ...this.#options.subject,
      resource: 'money',
      amount: cost,
      quality: exact ? 'measured' : 'estimated',
      provider: this.#options.provider,
      model: sofar.usage.model ?? this.#options.askedModel,
      messageId: sofar.usage.messageId,
      ...(sofar.completeness === 'none' ? {} : { tokens: wireTokens(sofar.usage.tokens) }),
      cost,
      priceVersion: prices.version,
      firstByteMs: this.#firstByteMs,
      totalMs: this.#elapsedMs(),
      detail: {
        asked_model: this.#options.askedModel,
        asked_max_tokens: Number(askedMaxTokens),
        max_tokens: Number(maxTokens),
        ...(clamped ? { clamped } : {}),
        // The answer stops where the budget, not its author, made it stop.
        ...(clamped && sofar.usage.tokens.output >= maxTokens * choices ? { ended_by_clamp: true } : {}),
        held: reservation.amount.toString(),
        ...(note.clientGone ? { client_gone: true } : {}),
        ...(note.cutBy === undefined ? {} : { cut_by: note.cutBy }),
      },
    }
    const { caps, provider, askedModel: model } = this.#options
    const tokens = exact ? TOKEN_KINDS.reduce((sum, kind) => sum + sofar.usage.tokens[kind], 0n) : null
    await this.#end(() => Promise.all([this.#options.ledger.settle(reservation.id, consumption), caps.settle(tokens, { provider, model })]))
    return cost
  }

  /** Gives the hold back: the provider has not billed anything. */
  release(): Promise<void> {
    const { ledger, reservation, caps } = this.#options
    return this.#end(() => Promise.all([ledger.release(reservation.id), caps.release()]))
  }

  async #end(how: () => Promise<unknown>): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    this.#options.leases.drop(this.#options.reservation.id)
    try {
      await how()
    } catch (error) {
      // The hold stays, and is settled in full when its lease runs out: too much is corrected by a person, too little by nobody.
      this.#options.logger.error({ err: error, reservation_id: this.#options.reservation.id }, 'the hold of a model call could not be ended')
    }
    this.#options.moneyBack.ring()
  }

  #elapsedMs(): number {
    return Math.max(0, Math.round(this.#options.runtime.now().getTime() - this.#startedMs))
  }
}

const wireTokens = (tokens: Tokens): TokenCounts => ({
  input: tokens.input.toString(),
  cache_read: tokens.cacheRead.toString(),
  cache_write_5m: tokens.cacheWrite5m.toString(),
  cache_write_1h: tokens.cacheWrite1h.toString(),
  output: tokens.output.toString(),
})
