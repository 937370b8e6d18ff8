import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nanoUsdOf, parseKeeping } from './cost.ts'

test('a cost is read digit by digit, rounded half up at the nano-dollar', () => {
  const read = (text: string): string | undefined => nanoUsdOf(text)?.toString()
  assert.deepEqual(['0', '0.0094', '1.1159999999999999', '0.0000000005', '0.00000000049', '12', '1e-9', '5E-10', '2.5e2', '1.5e-3'].map(read), [
    '0',
    '9400000',
    '1116000000',
    '1',
    '0',
    '12000000000',
    '1',
    '1',
    '250000000000',
    '1500000',
  ])
})

test('what is no plain amount is not a cost', () => {
  assert.deepEqual(
    ['', '-1', '1.', '.5', 'NaN', 'Infinity', '1e999', '1e31', '0x1', '1 '].filter((text) => nanoUsdOf(text) !== undefined),
    [],
  )
})

test('every amount of whole nano-dollars is read back exactly, however it is written', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 10n ** 18n), fc.nat(6), (nano, zeros) => {
      const digits = nano.toString().padStart(10, '0')
      const decimal = `${digits.slice(0, -9)}.${digits.slice(-9)}${'0'.repeat(zeros)}`
      assert.equal(nanoUsdOf(decimal), nano)
    }),
  )
})

test('the figure keeps its own text through JSON, and a string that looks like it is left alone', () => {
  assert.deepEqual(parseKeeping('{"total_cost_usd":0.10,"result":"\\"total_cost_usd\\":7","n":1.0}', 'total_cost_usd'), {
    total_cost_usd: '0.10',
    result: '"total_cost_usd":7',
    n: 1,
  })
})
