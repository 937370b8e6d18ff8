/** Money on the wire and before a person's eyes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatUsd, NANO_PER_USD, NanoUsd, parseUsd } from './money.ts'

test('what a person types is read exactly, or not at all', () => {
  assert.equal(parseUsd('2'), 2n * NANO_PER_USD)
  assert.equal(parseUsd('$2.50'), 2_500_000_000n)
  assert.equal(parseUsd(' 0.000000001 '), 1n)
  for (const wrong of ['', 'abc', '-1', '1.2.3', '1,50', '0.0000000001', '1e3', 'NaN', '$']) assert.equal(parseUsd(wrong), undefined, wrong)
})

test('an amount is shown to the cent, and a smaller one with the digits it needs', () => {
  assert.deepEqual([0n, 1_500_000_000n, 123_450_000n, 4_200_000n, 12_300n, 999_999_999n, -1_500_000_000n].map(formatUsd), [
    '$0.00',
    '$1.50',
    '$0.12',
    '$0.0042',
    '$0.000012',
    '$1.00',
    '-$1.50',
  ])
})

test('typing what is shown gives the same amount to within what is shown', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10n ** 17n }), (amount) => {
      const read = parseUsd(formatUsd(amount))
      assert.ok(read !== undefined)
      const difference = read > amount ? read - amount : amount - read
      assert.ok(difference <= 5_000_000n, `${amount} -> ${read}`)
    }),
  )
})

test('the wire takes whole digits below 2^63 only', () => {
  for (const right of ['0', '1', '9223372036854775807']) assert.ok(NanoUsd.safeParse(right).success)
  for (const wrong of ['-1', '01', '1.5', '9223372036854775808', '1e9', '']) assert.ok(!NanoUsd.safeParse(wrong).success, wrong)
})
