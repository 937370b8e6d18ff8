/** The ledger against a real PostgreSQL and a plain model of it, in every order that chance finds. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { AutovibeError, type BudgetId, type ReservationId } from '@autovibe/contract'
import fc from 'fast-check'
import { sql } from 'kysely'
import { MINUTE_MS, openTestLedger, spend } from './testing.ts'
import { Model, type ModelHold } from './testing-model.ts'

const { database, runtime, ledger, scene, hold, openCap, change, advance } = await openTestLedger()
after(() => database.close())

const DAY_MS = 24 * 60 * MINUTE_MS

const action = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('reserve' as const), narrow: fc.boolean(), amount: fc.bigInt(0n, 400n) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom('settle' as const, 'release' as const, 'extend' as const),
      which: fc.nat(50),
      // A few bills are above their hold.
      percent: fc.integer({ min: 0, max: 104 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('charge' as const), narrow: fc.boolean(), amount: fc.bigInt(0n, 50n) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('roll over' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('limit' as const), which: fc.nat(20), limit: fc.bigInt(0n, 3_000n) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('cap' as const),
      wide: fc.boolean(),
      period: fc.constantFrom('daily' as const, 'weekly' as const, 'monthly' as const),
      limit: fc.bigInt(0n, 2_000n),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), really: fc.integer({ min: 0, max: 9 }).map((chance) => chance === 0) }) },
)
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never
const round = fc.record({
  passMs: fc.constantFrom(0, 0, 0, 30_000, 90_000, DAY_MS, 9 * DAY_MS),
  actions: fc.array(action, { minLength: 1, maxLength: 12 }),
})

async function run(rounds: readonly { passMs: number; actions: Action[] }[]): Promise<void> {
  const at = await scene({ organisation: 2_000n, project: 1_000n, run: 700n })
  const model = new Model()
  for (const [id, limit] of [
    [at.organisation, 2_000n],
    [at.project, 1_000n],
    [at.run, 700n],
  ] as const)
    model.add(id, limit, null, runtime.now())
  let chain: readonly BudgetId[] = [at.run, at.project, at.organisation]
  const from = (narrow: boolean) => chain.slice(narrow ? 0 : 1)
  let charges = 0

  /** Carries an action out and answers how the model follows; what two at once would do to the same thing is left out. */
  async function perform(step: Action, isAlone: boolean, claim: (what: string) => boolean, lapsed: (hold: ModelHold) => boolean): Promise<() => void> {
    if (step.do === 'reserve') {
      const [budgetId = at.run] = from(step.narrow)
      const fits = model.fits(from(step.narrow), step.amount)
      const held = await unless(/^budget\./, hold(budgetId, step.amount))
      if (isAlone) assert.equal(held !== null, fits, 'what fits is held, and nothing else')
      const links = held && (await linksOf('id', held.id))
      return () => {
        if (held && links) model.hold(held.id, links, step.amount, runtime.now().getTime() + MINUTE_MS)
      }
    }
    if (step.do === 'charge') {
      const key = `charge ${at.run} ${charges++}`
      const [budgetId = at.run] = from(step.narrow)
      // The same twice, as somebody does who has not heard the answer.
      await Promise.all([ledger.charge(key, spend(at, step.amount), budgetId), ledger.charge(key, spend(at, step.amount), budgetId)])
      const links = await linksOf('idempotency_key', key)
      return () => model.charge(links, step.amount)
    }
    if (step.do === 'expire') {
      await ledger.expire(1_000)
      return () => model.expire(runtime.now())
    }
    if (step.do === 'roll over') {
      await ledger.rollOver(1_000)
      return () => undefined
    }
    if (step.do === 'limit') {
      const id = [...model.links.keys()][step.which % model.links.size] ?? at.run
      if (!claim(`limit ${id}`) || !claim(`freeze ${id}`)) return () => undefined
      const done = await unless(
        /^conflict\.state$/,
        change(id, { limit: step.limit }).then(() => true),
      )
      return () => {
        if (!done) return
        const link = model.at(id)
        if (step.limit < link.limit) link.mayBeOver = true
        Object.assign(link, { limit: step.limit, isFrozen: false })
      }
    }
    if (step.do === 'cap') {
      const below = step.wide ? at.organisation : at.project
      if (!claim('cap')) return () => undefined
      const id = await unless(/^conflict\.name_taken$/, openCap(below, { period: step.period, limit: step.limit }))
      if (!id) return () => undefined
      // At once: what follows may be held on it already.
      model.add(id, step.limit, step.period, runtime.now())
      const index = chain.indexOf(below) + 1
      chain = [...chain.slice(0, index), id, ...chain.slice(index)]
      return () => undefined
    }
    if (step.do === 'close') {
      if (!step.really) return () => undefined
      await database.db.transaction().execute((tx) => ledger.closeBudget(tx, at.run))
      return () => {
        model.at(at.run).isClosed = true
      }
    }
    const target = model.holds[step.which % Math.max(model.holds.length, 1)]
    if (!target || lapsed(target) || !claim(`hold ${target.id}`)) return () => undefined
    if (step.do === 'extend') {
      await ledger.extend([target.id], MINUTE_MS)
      return () => {
        if (target.isOpen) target.expiresAt = Math.max(target.expiresAt, runtime.now().getTime() + MINUTE_MS)
      }
    }
    if (step.do === 'release') {
      await ledger.release(target.id)
      return () => {
        if (target.isOpen) model.end(target, null)
      }
    }
    const billed = (target.amount * BigInt(step.percent)) / 100n
    if (target.isOpen && billed > target.amount && !claim(`freeze ${target.links[0]}`)) return () => undefined
    await unless(/^conflict\.state$/, ledger.settle(target.id, spend(at, billed)))
    return () => {
      if (target.isOpen) model.end(target, billed)
    }
  }

  for (const { passMs, actions } of rounds) {
    advance(passMs)
    model.rollOver(runtime.now())
    const claimed = new Set<string>()
    const claim = (what: string) => !claimed.has(what) && claimed.add(what) !== undefined
    const expires = actions.some((step) => step.do === 'expire')
    const lapsed = (one: ModelHold) => expires && one.isOpen && one.expiresAt <= runtime.now().getTime()
    const follow = await Promise.all(actions.map((step) => perform(step, actions.length === 1, claim, lapsed)))
    for (const follows of follow) follows()
    await compare(model)
  }
  assert.deepEqual((await ledger.audit()).findings, [])
}

async function compare(model: Model): Promise<void> {
  // Those that nobody touched since their period ended.
  await ledger.rollOver(1_000)
  const rows = await database.db
    .selectFrom('budgets')
    .select(['id', 'limit', 'settled', 'reserved', 'period_ends_at', 'frozen_at', 'closed_at'])
    .where('id', 'in', [...model.links.keys()])
    .execute()
  for (const { id, limit, settled, reserved, period_ends_at, frozen_at, closed_at } of rows) {
    const link = model.at(id)
    assert.deepEqual(
      { limit, settled, reserved, endsAt: period_ends_at, isFrozen: frozen_at !== null, isClosed: closed_at !== null },
      { limit: link.limit, settled: link.settled, reserved: link.reserved, endsAt: link.endsAt, isFrozen: link.isFrozen, isClosed: link.isClosed },
    )
    if (!link.mayBeOver) assert.ok(settled + reserved <= limit, 'settled + reserved <= limit')
  }
}

/** The links that a reservation is held on: which caps were there when it was decided is up to chance. */
async function linksOf(column: 'id' | 'idempotency_key', value: ReservationId | string): Promise<readonly BudgetId[]> {
  const { rows } = await sql<{ budget_ids: BudgetId[] }>`select budget_ids from reservations where ${sql.ref(column)} = ${value}`.execute(database.db)
  return rows[0]?.budget_ids ?? []
}

async function unless<T>(refusal: RegExp, promise: Promise<T>): Promise<T | null> {
  return promise.catch((error: unknown) => {
    if (error instanceof AutovibeError && refusal.test(error.code)) return null
    throw error
  })
}

describe('the ledger', () => {
  it('keeps every balance as the model has it, whatever is done at the same time, in any order', async () => {
    await fc.assert(fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 8 }), run), { numRuns: 60 })
  })

  it('holds exactly what fits, when one thing is done after the other', async () => {
    const alone = fc.record({ passMs: round.map(({ passMs }) => passMs), actions: action.map((one) => [one]) })
    await fc.assert(fc.asyncProperty(fc.array(alone, { minLength: 1, maxLength: 25 }), run), { numRuns: 40 })
  })
})
