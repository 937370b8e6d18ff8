/** What people add up in their heads: the amounts on a line, as they stand there. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { type Budget, parseUsd, type Run } from '@autovibe/contract'
import fc from 'fast-check'
import pc from 'picocolors'
import { renderBudgets } from './budgets.ts'
import { renderClosing } from './closing.ts'
import { renderMoment } from './moment.ts'

const paint = pc.createColors(false)
const run = {
  machine_name: 'calm-owl',
  state: 'succeeded',
  spent: '0',
  held: '0',
  limit: '2000000000',
  steps: 4,
  summary: null,
  started_at: '2026-01-01T00:00:00.000Z',
  ended_at: '2026-01-01T00:01:02.000Z',
  agent_reported_cost: null,
} as unknown as Run

/** What a person reads off a line. */
const amountsIn = (line: string): bigint[] =>
  [...line.matchAll(/(-?)\$([0-9.]+[0-9])/g)].map(([, sign, text]) => (parseUsd(text ?? '') ?? -1n) * (sign === '-' ? -1n : 1n))

test('the amounts of lines that follow one another add up as they are shown, however small they are', () => {
  const amount = fc.bigInt(0n, 50_000_000n)
  fc.assert(
    fc.property(fc.array(amount, { maxLength: 20 }), fc.bigInt(1n, 4_000_000_000n), (costs, limit) => {
      let [spent, shown] = [0n, 0n]
      for (const cost of costs) {
        spent += cost
        const told = { type: 'cost_changed', index: 1, change: cost.toString(), spent: spent.toString(), limit: limit.toString() } as const
        const [added = -1n, sum = -1n, of] = amountsIn(renderMoment(told, paint).join(''))
        assert.deepEqual([shown + added, of], [sum, limit])
        shown = sum
      }
    }),
  )
})

test('what was spent, what is held and what is left are together the limit, as they are shown', () => {
  const amount = fc.bigInt(0n, 3_000_000_000n)
  fc.assert(
    fc.property(amount, amount, amount, (limit, settled, reserved) => {
      const line = renderClosing({ run: { ...run, limit: `${limit}`, spent: `${settled}`, held: `${reserved}` }, interrupted: 0, totals: null }, paint)[0] ?? ''
      const named = (name: RegExp) => amountsIn(name.exec(line)?.[0] ?? '')[0] ?? 0n
      assert.equal(named(/of \$[0-9.]+ spent/), limit)
      assert.equal(named(/\$[0-9.]+(?= of)/) + named(/\$[0-9.]+ held/) + named(/\$[0-9.]+ left/) - named(/\$[0-9.]+ above/), limit)
      if (settled + reserved <= limit) assert.match(line, / left/)
    }),
  )
  const [line] = renderClosing({ run: { ...run, spent: '1900000' }, interrupted: 1, totals: null }, paint)
  assert.equal(line, 'calm-owl: succeeded in 1 min 2 s, 4 steps (1 interrupted), $0.0019 of $2.00 spent, $1.9981 left.')
})

test('the columns of a budget add up too, unless a budget above allows less', () => {
  const row = (more: object, line = 1) =>
    renderBudgets(
      [
        {
          id: 'bud_x',
          scope: 'run',
          scope_id: 'run_x',
          resource: 'money',
          period: 'total',
          policy: 'park',
          set_aside: '0',
          limit: '2000000000',
          settled: '1900000',
          closed_at: null,
          ...more,
        } as unknown as Budget,
      ],
      paint,
    )[line]
  assert.match(row({ reserved: '38300000', available: '1959800000' }) ?? '', /\$2\.00 +\$0\.0019 +\$0\.0383 +\$1\.9598 +run_x$/)
  assert.match(row({ reserved: '0', available: '5000000' }) ?? '', /\$2\.00 +\$0\.0019 +\$0\.00 +\$0\.0050 +run_x$/)
  assert.match(row({ resource: 'wall_seconds', limit: '100', settled: '40', reserved: '0', available: '60' }, 2) ?? '', /100 +40 +0 +60 +bud_x$/)
})
