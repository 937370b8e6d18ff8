/** The ledger as a few lines of plain arithmetic, to compare the real one with. */
import type { BudgetId, ReservationId } from '@autovibe/contract'
import { type CalendarPeriod, endOfPeriod } from '@autovibe/core/budgets/period.ts'

export interface ModelLink {
  limit: bigint
  settled: bigint
  reserved: bigint
  isClosed: boolean
  isFrozen: boolean
  readonly period: CalendarPeriod | null
  endsAt: Date | null
  /** A lowered limit, a bill above its hold and what is reported after the fact may lead past the limit. */
  mayBeOver: boolean
}

export interface ModelHold {
  readonly id: ReservationId
  readonly amount: bigint
  readonly links: readonly BudgetId[]
  expiresAt: number
  isOpen: boolean
}

export class Model {
  readonly links = new Map<BudgetId, ModelLink>()
  readonly holds: ModelHold[] = []

  add(id: BudgetId, limit: bigint, period: CalendarPeriod | null, now: Date): void {
    const endsAt = period && endOfPeriod(period, now)
    this.links.set(id, { limit, settled: 0n, reserved: 0n, isClosed: false, isFrozen: false, period, endsAt, mayBeOver: false })
  }

  at(id: BudgetId): ModelLink {
    const link = this.links.get(id)
    if (!link) throw new Error(`the model has no budget ${id}`)
    return link
  }

  /** Whether this much fits on the whole chain; nothing fits on what is overdrawn, too. */
  fits(chain: readonly BudgetId[], amount: bigint): boolean {
    const links = chain.map((id) => this.at(id))
    return links.every((link) => !link.isClosed && !link.isFrozen && (amount === 0n || link.settled + link.reserved + amount <= link.limit))
  }

  hold(id: ReservationId, links: readonly BudgetId[], amount: bigint, expiresAt: number): void {
    for (const link of links) this.at(link).reserved += amount
    this.holds.push({ id, amount, links, expiresAt, isOpen: true })
  }

  /** Null gives the hold back. */
  end(hold: ModelHold, billed: bigint | null): void {
    hold.isOpen = false
    for (const id of hold.links) {
      const link = this.at(id)
      link.reserved -= hold.amount
      link.settled += billed ?? 0n
      if ((billed ?? 0n) > hold.amount) link.mayBeOver = true
    }
    const [narrowest] = hold.links
    if (narrowest && (billed ?? 0n) > hold.amount) this.at(narrowest).isFrozen = true
  }

  charge(links: readonly BudgetId[], amount: bigint): void {
    for (const id of links) {
      this.at(id).settled += amount
      this.at(id).mayBeOver = true
    }
  }

  expire(now: Date): void {
    for (const hold of this.holds) if (hold.isOpen && hold.expiresAt <= now.getTime()) this.end(hold, hold.amount)
  }

  rollOver(now: Date): void {
    for (const link of this.links.values()) {
      if (link.period === null || link.endsAt === null || link.endsAt > now) continue
      link.settled = 0n
      link.endsAt = endOfPeriod(link.period, now)
    }
  }
}
