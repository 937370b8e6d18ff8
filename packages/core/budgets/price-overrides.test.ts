/** Prices of a project's own: exactly where they were set, under every name of the same thing, and marked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withOverrides } from './price-overrides.ts'
import { plainPrice } from './testing.ts'
import { costOfUsage, NO_USAGE } from './usage.ts'

const listed = { ...plainPrice, ids: ['model', 'model-20261101', 'model-old'] }
const other = { ...plainPrice, ids: ['other'] }
const table = { version: 'list-1', models: new Map([listed, other].flatMap((price) => price.ids.map((id) => [id, price] as const))) }
const rates = (output: bigint) => ({ input: 1n, cacheRead: 1n, cacheWrite5m: 1n, cacheWrite1h: 1n, output })

test('an override holds for every id of the same model but for one with an override of its own, and leaves the others', () => {
  const own = withOverrides(
    table,
    [
      { model: 'model', contextWindowTokens: 5n, rates: rates(7n) },
      { model: 'model-old', contextWindowTokens: 6n, rates: rates(9n) },
    ],
    'prj_1@now',
  )
  assert.deepEqual(
    ['model', 'model-20261101', 'model-old', 'other'].map((id) => own.models.get(id)?.rates.output),
    [7n, 7n, 9n, 20_000_000n],
  )
  assert.equal(own.version, 'list-1+prj_1@now')
  const usage = { ...NO_USAGE.usage, model: 'model-20261101', tokens: { ...NO_USAGE.usage.tokens, output: 1000n } }
  assert.equal(costOfUsage(own, plainPrice, usage), 7n)
  assert.equal(table.models.get('model'), listed)
})

test('a model that nobody lists has a price by its override, and a table without overrides stays itself', () => {
  assert.equal(withOverrides(table, [{ model: 'ours', contextWindowTokens: 5n, rates: rates(1n) }], 'x').models.get('ours')?.contextWindowTokens, 5n)
  assert.equal(withOverrides(table, [], 'x'), table)
})
