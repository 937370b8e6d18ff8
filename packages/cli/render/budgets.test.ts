import assert from 'node:assert/strict'
import test from 'node:test'
import type { Budget } from '@autovibe/contract'
import fc from 'fast-check'
import pc from 'picocolors'
import { bar } from './bar.ts'
import { beneath, matters, withAbove } from './budget-tree.ts'
import { renderBudgets } from './budgets.ts'
import { renderLedger, type ToldRow } from './ledger.ts'

const plain = pc.createColors(false)
const colours = pc.createColors(true)
const UNLIMITED = (2n ** 62n).toString()

const budget = (id: string, scope: Budget['scope'], parent: string | null, more: Partial<Budget> = {}) =>
  ({
    id,
    parent_id: parent,
    scope,
    scope_id: scope === 'organisation' ? scope : `${scope}_${id}`,
    resource: 'money',
    period: 'total',
    period_ends_at: null,
    limit: '2000000000',
    settled: '0',
    reserved: '0',
    available: '2000000000',
    share: 1,
    policy: 'park',
    set_aside: '0',
    frozen_at: null,
    closed_at: null,
    ...more,
  }) as unknown as Budget

const at = '2026-01-31T23:59:00.000Z'
/** The organisation without a limit, a project with a daily cap right above it, its machine with a run; and a project that does nothing. */
const chain = [
  budget('b5', 'run', 'b4', { settled: '1500000000', available: '500000000' }),
  budget('b4', 'machine', 'b2', { settled: '1500000000', available: '500000000' }),
  budget('b3', 'project', 'b1', { scope_id: 'project_b2', period: 'daily', period_ends_at: at, limit: '5000000000', available: '5000000000' }),
  budget('b2', 'project', 'b3', { limit: UNLIMITED, available: '5000000000', share: 0.5 }),
  budget('b6', 'project', 'b1', { limit: UNLIMITED }),
  budget('b1', 'organisation', null, { limit: UNLIMITED }),
]
const names = new Map([
  ['project_b2', 'shop'],
  ['machine_b4', 'calm-owl'],
  ['run_b5', 'Make the failing\u001b[2J test of the shop pass'],
])

test('budgets stand in the tree of their chains, caps with their scope, each with its name', () => {
  const lines = renderBudgets(withAbove(chain, matters), plain, { names })
  assert.deepEqual(
    lines.map((line) => line.slice(0, 40).trimEnd()).slice(1),
    ['organisation', '`- project shop', '   |- daily', '   `- machine calm-owl', '      `- run "Make the failing [2J test o…"'].map((name) =>
      name.slice(0, 40).trimEnd(),
    ),
  )
  assert.match(lines[1] ?? '', /no limit +none +\$0\.00 +\$0\.00 +-$/)
  assert.match(lines[2] ?? '', /no limit +none .* greediness 0\.5 +project_b2$/)
  assert.match(lines[3] ?? '', /\[\.+\] +\$5\.00 .* until 2026-01-31 23:59Z +b3$/)
  assert.match(lines[5] ?? '', /\[#+\.+\] +\$2\.00 +\$1\.50 +\$0\.00 +\$0\.50 +run_b5$/)
})

test('what is closed, and what is neither limited nor used, is left out unless something beneath it counts', () => {
  const closed = budget('b7', 'run', 'b4', { closed_at: at })
  assert.deepEqual(
    withAbove([closed, ...chain], matters).map(({ id }) => id),
    ['b5', 'b4', 'b3', 'b2', 'b1'],
  )
  assert.match(renderBudgets([closed], plain).join('\n'), / closed +run_b7$/)
  assert.match(renderBudgets([budget('b8', 'run', null, { frozen_at: at })], plain).join('\n'), / frozen since 2026-01-31 23:59Z +run_b8$/)
  assert.match(
    renderBudgets(withAbove(chain.slice(4), matters), plain).join('\n'),
    /^ {2}autovibe run .*\n {2}autovibe budget set organisation 100 --period monthly$/m,
  )
})

test('what lies beneath a budget is found however deep, and a chain that goes round ends the search', () => {
  assert.deepEqual(
    beneath(chain, ({ scope_id }) => scope_id === 'project_b2').map(({ id }) => id),
    ['b4', 'b5'],
  )
  const [one, two] = [budget('r1', 'project', 'r2'), budget('r2', 'project', 'r1')]
  assert.deepEqual(
    beneath([one, two], ({ id }) => id === one?.id).map(({ id }) => id),
    ['r2'],
  )
  assert.equal(withAbove([one, two], matters).length, 2)
  assert.equal(renderBudgets([one, two], plain).length, 1, 'nothing of it hangs on a root')
})

test('a bar shows whatever is used, looks full when it is, and has the width that was asked for', () => {
  const amount = fc.bigInt(0n, 10_000_000_000n)
  fc.assert(
    fc.property(amount, amount, amount, fc.integer({ min: 10, max: 40 }), (limit, spent, held, width) => {
      const text = bar({ limit, spent, held }, width, plain)
      assert.match(text, new RegExp(`^\\[(?=.{${width - 2}}\\])#*=*\\.*\\]$`))
      assert.equal(text.includes('.'), spent + held < limit)
      if (spent + held < limit) assert.equal(text.includes('#'), spent > 0n)
      assert.equal(text.includes('='), held > 0n)
    }),
  )
  assert.equal(bar({ limit: 4n, spent: 1n, held: 1n }, 10, plain), '[##==....]')
  const painted = bar({ limit: 4n, spent: 2n, held: 1n }, 8, colours)
  assert.ok(painted.includes('████▒▒') && painted.includes('░░'), painted)
})

test('a line fits the terminal: ids are shortened first, then the bar, and the amounts never', () => {
  const long = 'machine_01jd0000000000000000000000'
  const wide = [budget('b4', 'machine', null, { scope_id: long })]
  const lines = (width?: number) => renderBudgets(wide, plain, { width, names: new Map([[long, 'calm-owl']]) })
  assert.ok(lines()[1]?.endsWith(long))
  for (const [width, id] of [
    [200, long],
    [90, long.slice(0, 18)],
    [60, ''],
  ] as const) {
    const [, line = ''] = lines(width)
    assert.match(line, new RegExp(`\\$2\\.00${id === '' ? '' : ` +${id}`}$`))
    assert.ok(line.length <= width, `${line.length} of ${width}: ${line}`)
  }
})

test('the rows of a ledger are exact, and say what the budget came to by each', () => {
  const row = {
    id: '1',
    at: '2026-01-01T12:00:00.000Z',
    kind: 'settle',
    reserved_delta: '-38300000',
    settled_delta: '1900001',
    reserved_after: '0',
    settled_after: '1900001',
    scope: 'run',
    scope_id: 'run_b5',
    model: 'claude-sonnet-5',
    quality: 'estimated',
  } as unknown as ToldRow
  const [, line] = renderLedger({ resource: 'money' }, [row], names, plain)
  const says =
    /^2026-01-01 12:00:00Z +settle +-\$0\.0383 +\+\$0\.001900001 +\$0\.0000 +\$0\.001900001 +claude-sonnet-5 \(estimated\) +run "Make the failing \[2J test o…" +run_b5$/
  assert.match(line ?? '', says)
  assert.match(renderLedger({ resource: 'tokens' }, [{ ...row, reserved_delta: '0' }], names, plain)[1] ?? '', /settle +\+1,900,001 +0 +1,900,001 /)
  assert.match(renderLedger({ resource: 'money' }, [], names, plain)[0] ?? '', /^Nothing stands in the ledger/)
})
