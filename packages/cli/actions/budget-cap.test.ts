/** What is refused after `autovibe budget set` is told with the words that were typed: a fix that is pasted must not set the limit of something else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import type { BudgetSetOptions } from '../commands/budget.ts'
import { assertMayHave, readWish } from './budget-cap.ts'

const fixOf = (read: () => unknown): string | undefined => {
  try {
    read()
  } catch (thrown) {
    if (thrown instanceof AutovibeError) return thrown.fix
    throw thrown
  }
  throw new assert.AssertionError({ message: 'it was taken' })
}

test('the fix of a mistake names what was named', () => {
  const shop = 'project:shop'
  const cases: readonly (readonly [string, string | undefined, BudgetSetOptions, string])[] = [
    [shop, '5', { period: 'dayly' }, 'autovibe budget set project:shop 5 --period daily'],
    [shop, undefined, { period: 'xyzzy', warnAt: '50' }, 'autovibe budget set --help'],
    [shop, undefined, { warnAt: '50,800' }, 'autovibe budget set project:shop --warn-at 50,80,95'],
    [shop, undefined, { greediness: '2' }, 'autovibe budget set project:shop --greediness 0.5'],
    [shop, 'five', {}, 'autovibe budget set project:shop 2.00'],
    ['40', shop, {}, 'autovibe budget set project:shop 40'],
    ['40', shop, { period: 'daily' }, 'autovibe budget set project:shop 40 --period daily'],
    ['$40', 'a b', {}, "autovibe budget set 'a b' '$40'"],
  ]
  for (const [ref, amount, options, fix] of cases)
    assert.equal(
      fixOf(() => readWish(ref, amount, options)),
      fix,
    )
})

test('none is the limit of who has none, and only the organisation and projects may be without', () => {
  const wish = readWish('project:shop', 'none', {})
  assert.equal(wish.limit, (2n ** 62n).toString())
  const target = { id: 'x', name: 'calm-owl', run: null, budget: null }
  for (const kind of ['organisation', 'project'] as const) assertMayHave({ ...target, kind }, wish)
  for (const kind of ['machine', 'run'] as const) assert.match(fixOf(() => assertMayHave({ ...target, kind }, wish)) ?? '', /^autovibe budget set \S+ 2\.00$/)
})

test('what has one limit for all its time is offered the amount that was typed, for all its time', () => {
  const wish = readWish('calm-owl', '7.50', { period: 'daily' })
  const machine = { kind: 'machine', id: 'mch_1', name: 'calm-owl', run: null, budget: null } as const
  assert.equal(
    fixOf(() => assertMayHave(machine, wish)),
    'autovibe budget set calm-owl 7.50',
  )
})
