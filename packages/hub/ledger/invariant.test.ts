/** The ledger's invariant against a real PostgreSQL, in every order that chance finds. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { AutovibeError, type ReservationId } from '@autovibe/contract'
import fc from 'fast-check'
import { MINUTE_MS, openTestLedger, spend, withCode } from './testing.ts'

const { database, ledger, scene, hold, balances, assertBalanced, advance } = await openTestLedger()
after(() => database.close())

describe('the ledger', () => {
  it('keeps settled + reserved <= limit on every link whatever is done at the same time, in any order', async () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant('reserve' as const), narrow: fc.boolean(), amount: fc.bigInt(0n, 400n) }),
      fc.record({ do: fc.constantFrom('settle' as const, 'release' as const, 'extend' as const), which: fc.nat(50), share: fc.integer({ min: 0, max: 100 }) }),
      fc.record({ do: fc.constant('expire' as const), advanceMs: fc.integer({ min: 0, max: 90_000 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(action, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 }), async (rounds) => {
        const at = await scene({ organisation: 2_000n, project: 1_000n, run: 700n })
        const held: { id: ReservationId; amount: bigint }[] = []
        const perform = async (step: (typeof rounds)[number][number]): Promise<void> => {
          if (step.do === 'reserve') {
            const reservation = await hold(step.narrow ? at.run : at.project, step.amount).catch((error: unknown) => {
              if (error instanceof AutovibeError && error.code.startsWith('budget.')) return null
              throw error
            })
            if (reservation) held.push(reservation)
          } else if (step.do === 'expire') {
            advance(step.advanceMs)
            await ledger.expire(100)
          } else {
            const target = held[step.which % Math.max(held.length, 1)]
            if (!target) return
            if (step.do === 'release') await ledger.release(target.id)
            else if (step.do === 'extend') await ledger.extend(target.id, MINUTE_MS)
            else {
              await ledger.settle(target.id, spend(at, (target.amount * BigInt(step.share)) / 100n)).catch((error: unknown) => {
                if (!withCode('conflict.state')(error)) throw error
              })
            }
          }
        }
        for (const round of rounds) {
          await Promise.all(round.map(perform))
          for (const row of await balances([at.organisation, at.project, at.run])) assert.ok(row.settled + row.reserved <= row.limit)
        }
        await assertBalanced(at)
      }),
      { numRuns: 25 },
    )
  })
})
