/** What one batch changes: decided on the links that the writer keeps, collected as rows, committed at once by `commit_ledger_batch`. */
import type { BudgetId, EventId, LedgerEntry, ReservationId, RunId, UsageEventId } from '@autovibe/contract'
import type { Links } from '@autovibe/core/budgets/account.ts'
import { endOfPeriod } from '@autovibe/core/budgets/period.ts'
import type { NewEvent } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'
import { balanceRows, type Ended, endRow, holdRow, type Movement } from './batch-rows.ts'
import { chainOf } from './chain.ts'
import { NO_LEASE_MS, runOfHandBack } from './holders.ts'
import type { AskedHold, Hold, Known, LiveLink } from './known.ts'
import type { Consumption } from './ledger.ts'
import { crossing, overrun, rollover } from './news.ts'
import { usageRows } from './usage-events.ts'

/** What an entry is about: a reservation, or a budget by itself. */
type Moved = Pick<Hold, 'budgetIds'> & { readonly id: ReservationId | null }

export class Book {
  readonly at: Date
  readonly isFresh: boolean
  readonly #runtime: Runtime
  readonly #links: Known['links']
  readonly #holds: Known['holds']
  readonly #keys: Known['keys']
  readonly #handBacks: Known['handBacks']
  readonly #told: Known['told']
  readonly #movements = new Map<BudgetId, Movement>()
  readonly #opened: Hold[] = []
  readonly #ended: Ended[] = []
  readonly #entries: object[] = []
  readonly #usage: object[] = []
  readonly #events: object[] = []
  readonly #tellings = new Set<string>()

  constructor(runtime: Runtime, known: Known) {
    this.#runtime = runtime
    this.#links = known.links
    this.#holds = known.holds
    this.#keys = known.keys
    this.#handBacks = known.handBacks
    this.#told = known.told
    this.isFresh = known.isFresh
    this.at = runtime.now()
  }

  /** What this batch tells once and for all. */
  get tellings(): ReadonlySet<string> {
    return this.#tellings
  }

  get isEmpty(): boolean {
    return this.#movements.size === 0 && this.#events.length === 0 && this.#usage.length === 0
  }

  get opened(): readonly Hold[] {
    return this.#opened
  }

  get ended(): readonly Hold[] {
    return this.#ended.map(({ hold }) => hold)
  }

  /** `not_found` when there is no such budget. Every link whose period has ended begins anew. */
  chain(budgetId: BudgetId): Links<LiveLink> {
    return this.#current(chainOf(this.#links, budgetId))
  }

  hold(id: ReservationId): Hold | undefined {
    return this.#holds.get(id)
  }

  holdOfKey(key: string): Hold | undefined {
    return this.#keys.get(key)
  }

  /** What the run has set aside, while it is open. */
  handBack(runId: RunId): Hold | undefined {
    return this.#handBacks.get(runId)
  }

  /** Takes an amount out of what is set aside, or puts one in; the rest goes on under another reservation, and nothing is free in between. */
  resize(kept: Hold, by: bigint): void {
    this.release(kept)
    const key = `${kept.holder} ${this.#runtime.newId('event')}`
    this.open(this.#linksOf(kept), { key, holder: kept.holder, amount: kept.amount + by, subject: kept.subject, leaseMs: NO_LEASE_MS })
  }

  /** Whether something may be held on the links of a hold. */
  isOpen(hold: Hold): boolean {
    return this.#linksOf(hold).every((link) => !link.isClosed && !link.isFrozen)
  }

  /** Opens a reservation and holds its amount on every link. */
  open(chain: Links<LiveLink>, asked: AskedHold): Hold {
    const hold = this.#list(chain, asked)
    for (const link of chain) this.#move(link, asked.amount, 0n).holds = true
    this.#enter('reserve', hold, null, asked.amount, 0n)
    return hold
  }

  /** Ends a hold by what was used; above the hold, the narrowest budget is frozen. `leaseBefore`: only if its lease ran out before then. */
  settle(hold: Hold, consumption: Consumption | null, amount: bigint, leaseBefore: Date | null = null): void {
    this.#post(hold, consumption, amount, leaseBefore)
    if (amount > hold.amount) this.#freeze(this.#linksOf(hold), hold, amount)
  }

  /** Posts what nobody held, on a reservation of nothing that is opened and settled at once. */
  charge(chain: Links<LiveLink>, asked: Omit<AskedHold, 'amount'>, consumption: Consumption): Hold {
    const hold = this.#list(chain, { ...asked, amount: 0n })
    this.#post(hold, consumption, consumption.amount, null)
    return hold
  }

  /** Ends a hold without a charge. */
  release(hold: Hold): void {
    for (const link of this.#linksOf(hold)) this.#move(link, -hold.amount, 0n)
    this.#enter('release', hold, null, -hold.amount, 0n)
    this.#end(hold, 'released', null, null)
  }

  /** Adds a usage event and tells of it. */
  use(consumption: Consumption, reservationId: ReservationId): UsageEventId {
    const { row, event } = usageRows(this.#runtime, consumption, reservationId)
    this.#usage.push(row)
    this.tell(event)
    return row.id
  }

  tell(event: NewEvent): void {
    const id: EventId = this.#runtime.newId('event')
    const { type, project_id = null, machine_id = null, run_id = null, data = {} } = event
    this.#events.push({ n: this.#events.length, id, type, project_id, machine_id, run_id, data })
  }

  /** Tells something once, however often it happens. */
  tellOnce(key: string, event: NewEvent): void {
    if (this.#told.has(key) || this.#tellings.has(key)) return
    this.#tellings.add(key)
    this.tell(event)
  }

  /** What `commit_ledger_batch` takes; null for what there is none of. */
  toRows(): readonly [at: Date, ...json: (string | null)[]] {
    const rows = [
      balanceRows(this.#movements.values(), this.#links),
      this.#opened.map(holdRow),
      this.#ended.map(endRow),
      this.#entries,
      this.#usage,
      this.#events,
    ]
    return [this.at, ...rows.map((part) => (part.length === 0 ? null : JSON.stringify(part)))]
  }

  /** What a commit has made of the versions. */
  confirm(): void {
    for (const { link, freeze } of this.#movements.values()) if (freeze) link.version++
  }

  #list(chain: Links<LiveLink>, { leaseMs, ...asked }: AskedHold): Hold {
    const [first, ...others] = chain
    const hold: Hold = {
      ...asked,
      id: this.#runtime.newId('reservation'),
      budgetIds: [first.id, ...others.map(({ id }) => id)],
      leaseExpiresAt: new Date(this.at.getTime() + leaseMs),
      state: 'open',
      usageEventId: null,
    }
    this.#opened.push(hold)
    this.#keys.set(hold.key, hold)
    const runId = runOfHandBack(hold.holder)
    if (runId !== undefined) this.#handBacks.set(runId, hold)
    return hold
  }

  #post(hold: Hold, consumption: Consumption | null, amount: bigint, leaseBefore: Date | null): void {
    const chain = this.#linksOf(hold)
    for (const link of chain) {
      const news = crossing(chain, link, amount)
      if (news) this.tell(news)
    }
    hold.usageEventId = consumption ? this.use(consumption, hold.id) : null
    for (const link of chain) this.#move(link, -hold.amount, amount)
    this.#enter('settle', hold, hold.usageEventId, -hold.amount, amount)
    this.#end(hold, 'settled', amount, leaseBefore)
  }

  #linksOf(hold: Hold): Links<LiveLink> {
    const [first, ...others] = hold.budgetIds.map((id) => this.#links.get(id)).filter((link) => link !== undefined)
    if (!first || others.length !== hold.budgetIds.length - 1) throw new Error(`a budget of the reservation ${hold.id} is gone`)
    return this.#current([first, ...others])
  }

  /** What is reserved stays so; what was settled stands in the entry, and the new period has the whole limit. */
  #current(chain: Links<LiveLink>): Links<LiveLink> {
    for (const link of chain) {
      if (link.periodEndsAt === null || link.period === 'total' || link.isClosed || link.periodEndsAt > this.at) continue
      const { settled, periodEndsAt } = link
      const movement = this.#move(link, 0n, -settled)
      movement.rollsFrom = periodEndsAt
      link.periodEndsAt = endOfPeriod(link.period, this.at)
      this.#enter('rollover', { id: null, budgetIds: [link.id] }, null, 0n, -settled)
      this.tell(rollover(chain, link, settled, periodEndsAt))
    }
    return chain
  }

  #move(link: LiveLink, reserved: bigint, settled: bigint): Movement {
    const movement = this.#movements.get(link.id) ?? { link, reserved: 0n, settled: 0n, holds: false, freeze: false, rollsFrom: null }
    this.#movements.set(link.id, movement)
    movement.reserved += reserved
    movement.settled += settled
    link.reserved += reserved
    link.settled += settled
    return movement
  }

  #enter(kind: LedgerEntry['kind'], of: Moved, usageEventId: UsageEventId | null, reservedDelta: bigint, settledDelta: bigint): void {
    this.#entries.push({
      n: this.#entries.length,
      budget_id: of.budgetIds[0],
      reservation_id: of.id,
      usage_event_id: usageEventId,
      kind,
      reserved_delta: reservedDelta.toString(),
      settled_delta: settledDelta.toString(),
    })
  }

  #end(hold: Hold, state: 'settled' | 'released', settledAmount: bigint | null, leaseBefore: Date | null): void {
    hold.state = state
    const runId = runOfHandBack(hold.holder)
    if (runId !== undefined && this.#handBacks.get(runId) === hold) this.#handBacks.delete(runId)
    this.#ended.push({ hold, settledAmount, leaseBefore })
  }

  #freeze(chain: Links<LiveLink>, hold: Hold, billed: bigint): void {
    const [link] = chain
    this.#move(link, 0n, 0n).freeze = !link.isFrozen
    link.isFrozen = true
    this.tell(overrun(chain, hold, billed))
  }
}
