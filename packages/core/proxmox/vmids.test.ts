import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nextVmid } from './vmids.ts'

test('numbers are given one after the other around the range, and those that are taken are passed over', () => {
  const range = { from: 900, to: 903 }
  assert.equal(
    nextVmid(range, 0, () => false),
    900,
  )
  assert.equal(
    nextVmid(range, 901, () => false),
    902,
  )
  assert.equal(
    nextVmid(range, 903, () => false),
    900,
  )
  assert.equal(
    nextVmid(range, 901, (vmid) => vmid === 902),
    903,
  )
  assert.equal(
    nextVmid(range, 901, () => true),
    null,
  )
})

test('a number is free and in the range, and there is one unless all are taken', () => {
  fc.assert(
    fc.property(fc.nat(50), fc.nat(20), fc.nat(100), fc.array(fc.nat(100)), (from, size, after, taken) => {
      const range = { from, to: from + size }
      const vmid = nextVmid(range, after, (each) => taken.includes(each))
      if (vmid === null) for (let each = range.from; each <= range.to; each++) assert.ok(taken.includes(each))
      else assert.ok(vmid >= range.from && vmid <= range.to && !taken.includes(vmid))
    }),
  )
})
