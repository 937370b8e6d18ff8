/** Counts the bytes of one tunnel and charges them, slice by slice, to whatever caps them. */
import type { BudgetId, Json } from '@autovibe/contract'
import type { Database } from '../database/database.ts'
import type { Consumption, Ledger, Subject } from '../ledger/ledger.ts'
import { LIMITS } from './limits.ts'

export interface MeterOptions {
  readonly db: Database
  readonly ledger: Ledger
  readonly subject: Subject
  /** Of the tunnel; the same charge is not made twice. */
  readonly id: string
  readonly destination: string
  /** The budget of bytes it counts against, and what that has left. */
  readonly cap: Cap | undefined
}

export interface Cap {
  readonly budgetId: BudgetId
  readonly available: bigint
}

interface Sent {
  readonly key: string
  readonly consumption: Consumption
  /** Undefined: it is only recorded. */
  readonly budgetId: BudgetId | undefined
}

export class Meter {
  sentBytes = 0
  receivedBytes = 0
  readonly #options: MeterOptions
  readonly #startedAt = performance.now()
  #cap: Cap | undefined
  #charged = 0
  #charges = 0
  /** The charge whose answer is not there yet, or never came: whether it counts nobody knows. */
  #sent: Sent | undefined
  #charging: Promise<unknown> = Promise.resolve()

  constructor(options: MeterOptions) {
    this.#options = options
    this.#cap = options.cap
  }

  get isCapped(): boolean {
    return this.#cap !== undefined
  }

  add(direction: 'sent' | 'received', bytes: number): void {
    if (direction === 'sent') this.sentBytes += bytes
    else this.receivedBytes += bytes
  }

  /** So much has passed that it should be charged before more does: a slice, or all that the budget had left at the last look. */
  get isDue(): boolean {
    const uncharged = this.#uncharged
    return uncharged >= LIMITS.sliceBytes || (this.#cap !== undefined && uncharged > 0 && BigInt(uncharged) >= this.#cap.available)
  }

  /** From now on this budget counts its bytes, or none. */
  capBy(cap: Cap | undefined): void {
    this.#cap = cap
  }

  /**
   * Charges what has passed since the last charge; false when the budget has nothing left. A charge that failed goes out again first, just as it was and to whom it was: under its
   * key the ledger counts it once, and whatever else it said would be left out. What has passed since is in the next.
   */
  charge(more: Record<string, Json> = {}): Promise<boolean> {
    // One after the other: a tunnel may end in the middle of a charge.
    const charged = this.#charging.then(() => this.#charge(more))
    this.#charging = charged.catch(() => undefined)
    return charged
  }

  async #charge(more: Record<string, Json>): Promise<boolean> {
    const { ledger, subject, id, destination } = this.#options
    const isAgain = this.#sent !== undefined
    if (this.#sent) await this.#send(this.#sent)
    const bytes = this.#uncharged
    if (bytes === 0 && !isAgain) return true
    const cap = this.#cap
    if (bytes > 0) {
      const detail = {
        destination,
        sent_bytes: this.sentBytes,
        received_bytes: this.receivedBytes,
        duration_ms: Math.round(performance.now() - this.#startedAt),
        ...more,
      }
      const consumption = { ...subject, resource: 'egress_bytes', amount: BigInt(bytes), quality: 'measured', cost: 0n, detail } as const
      await this.#send({ key: `egress ${id} ${this.#charges}`, consumption, budgetId: cap?.budgetId })
    }
    if (!cap) return true
    const available = await ledger.available(cap.budgetId)
    if (this.#cap === cap) this.#cap = { ...cap, available }
    return available > 0n
  }

  async #send(sent: Sent): Promise<void> {
    const { db, ledger } = this.#options
    const { key, consumption, budgetId } = sent
    this.#sent = sent
    if (budgetId) await ledger.charge(key, consumption, budgetId)
    else await db.transaction().execute((tx) => ledger.record(tx, consumption, key))
    this.#sent = undefined
    this.#charges++
    this.#charged += Number(consumption.amount)
  }

  get #uncharged(): number {
    return this.sentBytes + this.receivedBytes - this.#charged
  }
}
