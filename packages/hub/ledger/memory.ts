/** What the writer remembers of the rows: links with their balances, and the reservations that are open. Whatever it is not sure of it forgets. */
import type { BudgetId, ReservationId, RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import type { Book } from './book.ts'
import { readLinks } from './chain.ts'
import { runOfHolder } from './holders.ts'
import { readHandBacks, readHolds } from './holds.ts'
import type { Job } from './job.ts'
import type { Hold, Known, LiveLink } from './known.ts'

/** Beyond these everything is forgotten, and read again when it is needed. */
const MAX_LINKS = 50_000
const MAX_HOLDS = 50_000
const MAX_TOLD = 10_000

export class Memory {
  readonly #db: Database
  readonly #links = new Map<BudgetId, LiveLink>()
  readonly #holds = new Map<ReservationId, Hold>()
  readonly #handBacks = new Map<RunId, Hold>()
  readonly #told = new Set<string>()

  constructor(db: Database) {
    this.#db = db
  }

  /** All that the jobs ask for. Afresh: read from the rows whatever is remembered, with the keys that were used before. */
  async recall(jobs: readonly Job<unknown>[], isFresh: boolean): Promise<Known> {
    const asked = jobs.flatMap(({ reservationId }) => (reservationId === undefined ? [] : [reservationId]))
    const keys = new Map<string, Hold>()
    if (isFresh) for (const id of asked) this.#holds.delete(id)
    const unknown = asked.filter((id) => !this.#holds.has(id))
    if (unknown.length > 0) for (const hold of await readHolds(this.#db, sql`r.id = any(${unknown}::text[])`)) this.#holds.set(hold.id, hold)
    if (isFresh) {
      const used = jobs.flatMap(({ key }) => (key === undefined ? [] : [key]))
      if (used.length > 0) for (const hold of await readHolds(this.#db, sql`r.idempotency_key = any(${used}::text[])`)) keys.set(hold.key, hold)
    }
    await this.#recallLinks(jobs, asked, await this.#recallHandBacks(jobs, asked, isFresh), isFresh)
    return { links: this.#links, holds: this.#holds, keys, handBacks: this.#handBacks, told: this.#told, isFresh }
  }

  /** Takes over what a book has changed, once it is committed. */
  learn(book: Book): void {
    book.confirm()
    for (const hold of book.opened) if (hold.state === 'open') this.#holds.set(hold.id, hold)
    for (const hold of book.ended) this.#holds.delete(hold.id)
    for (const key of book.tellings) this.#told.add(key)
    if (this.#told.size > MAX_TOLD) this.#told.clear()
    if (this.#holds.size > MAX_HOLDS) this.#holds.clear()
    if (this.#links.size > MAX_LINKS) this.#links.clear()
  }

  /** Forgets all: nobody knows what of the last batch was committed. */
  forget(): void {
    this.#links.clear()
    this.#holds.clear()
    this.#handBacks.clear()
  }

  /** What is set aside for the runs of the jobs; answers these runs. */
  async #recallHandBacks(jobs: readonly Job<unknown>[], asked: readonly ReservationId[], isFresh: boolean): Promise<ReadonlySet<RunId>> {
    const runs = new Set<RunId>()
    for (const { handBackOf } of jobs) if (handBackOf !== undefined) runs.add(handBackOf)
    for (const id of asked) {
      const runId = runOfHolder(this.#holds.get(id)?.holder ?? '')
      if (runId !== undefined) runs.add(runId)
    }
    const unknown = [...runs].filter((runId) => isFresh || !this.#handBacks.has(runId))
    for (const runId of unknown) this.#handBacks.delete(runId)
    // As a rule nobody asks: these are the last calls of runs that are out of money.
    if (unknown.length > 0) for (const [runId, hold] of await readHandBacks(this.#db, unknown)) this.#handBacks.set(runId, hold)
    return runs
  }

  async #recallLinks(jobs: readonly Job<unknown>[], asked: readonly ReservationId[], runs: ReadonlySet<RunId>, isFresh: boolean): Promise<void> {
    const needed = new Set<BudgetId>()
    for (const { budgetId } of jobs) if (budgetId !== undefined) needed.add(budgetId)
    for (const id of asked) for (const budgetId of this.#holds.get(id)?.budgetIds ?? []) needed.add(budgetId)
    for (const runId of runs) for (const budgetId of this.#handBacks.get(runId)?.budgetIds ?? []) needed.add(budgetId)
    const missing = [...needed].filter((id) => isFresh || !this.#links.has(id))
    if (missing.length === 0) return
    // With everything above them: a chain is read whole or not at all.
    for (const link of await readLinks(this.#db, missing)) if (isFresh || !this.#links.has(link.id)) this.#links.set(link.id, { ...link })
  }
}
