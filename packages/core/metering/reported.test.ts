import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { believable } from './reported.ts'

const seconds = { resource: 'wall_seconds', counted: 0n, passedMs: 60_000, cores: 4 } as const

test('what there was time for is believed, on every processor there is', () => {
  assert.equal(believable({ ...seconds, amount: 60n }), 60n)
  assert.equal(believable({ ...seconds, resource: 'cpu_seconds', amount: 240n }), 240n)
  assert.equal(believable({ ...seconds, amount: 2n ** 63n - 1n }), 65n)
  assert.equal(believable({ ...seconds, resource: 'cpu_seconds', amount: 2n ** 63n - 1n }), 260n)
})

test('all the reports of a run together never come to more than there was time for', () => {
  const amounts = fc.array(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), { maxLength: 20 })
  fc.assert(
    fc.property(amounts, fc.nat(1e9), fc.double({ min: 0.05, max: 64, noNaN: true }), (all, passedMs, cores) => {
      let counted = 0n
      for (const amount of all) counted += believable({ resource: 'cpu_seconds', amount, counted, passedMs, cores })
      assert.ok(counted <= BigInt(Math.ceil((passedMs / 1000 + 5) * Math.max(1, cores))))
    }),
  )
})

test('where more was counted before than can have passed, or a clock went back, nothing more is believed', () => {
  assert.equal(believable({ ...seconds, amount: 7n, counted: 100n }), 0n)
  assert.equal(believable({ ...seconds, amount: 7n, passedMs: -60_000 }), 5n)
})
