import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Carried, carriedOn, firstCarried } from './vm-network.ts'
import { countedCpuSeconds, isDoubtful } from './vm-usage.ts'

const seconds = fc.double({ min: 0, max: 1e9, noNaN: true })

test('what counts is never below what either side counted, never above both, and never goes back', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.option(seconds), seconds), { minLength: 1, maxLength: 20 }), (looks) => {
      let counted = 0
      let most = 0
      for (const [told, seen] of looks) {
        const now = countedCpuSeconds(counted, told, seen)
        most = Math.max(most, told ?? 0, seen)
        assert.ok(now >= counted && now >= seen && now >= (told ?? 0))
        assert.equal(now, most)
        counted = now
      }
    }),
  )
  for (const wrong of [Number.NaN, -5, Number.POSITIVE_INFINITY]) assert.equal(countedCpuSeconds(2, wrong, wrong), 2)
})

test('a guest is doubted that tells much less, not one whose VM only runs beside it', () => {
  assert.equal(isDoubtful(0, 120, 60), true)
  assert.equal(isDoubtful(100, 120, 60), false)
  assert.equal(isDoubtful(0, 20, 60), false, 'its boot')
  assert.equal(isDoubtful(1, 1700, 86_400), false, 'a day at rest')
  fc.assert(fc.property(seconds, seconds, seconds, (told, seen, lived) => !(told >= seen && isDoubtful(told, seen, lived))))
})

test('what cards carried adds up over boots, whenever they are looked at', () => {
  const step = fc.record({ inBytes: fc.nat(1e6), outBytes: fc.nat(1e6), seconds: fc.integer({ min: 1, max: 500 }), boots: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat(1e6), (steps, before) => {
      let counters = { inBytes: before, outBytes: before, uptimeS: 100, atS: 1000 }
      let carried: Carried = firstCarried(counters)
      const whole = { inBytes: 0, outBytes: 0 }
      for (const each of steps) {
        const from = each.boots ? { inBytes: 0, outBytes: 0, uptimeS: 0 } : counters
        const atS = counters.atS + each.seconds + (each.boots ? 60 : 0)
        counters = { inBytes: from.inBytes + each.inBytes, outBytes: from.outBytes + each.outBytes, uptimeS: from.uptimeS + each.seconds, atS }
        carried = carriedOn(carriedOn(carried, counters), counters)
        whole.inBytes += each.inBytes
        whole.outBytes += each.outBytes
      }
      assert.deepEqual({ inBytes: carried.inBytes, outBytes: carried.outBytes }, whole)
    }),
  )
})

test('counters that are older than the last ones, or none, change nothing', () => {
  const carried = carriedOn(firstCarried({ inBytes: 5, outBytes: 5, uptimeS: 10, atS: 100 }), { inBytes: 9, outBytes: 6, uptimeS: 20, atS: 110 })
  assert.deepEqual([carried.inBytes, carried.outBytes], [4, 1])
  assert.equal(carriedOn(carried, { inBytes: 7, outBytes: 5, uptimeS: 15, atS: 105 }), carried)
  assert.equal(carriedOn(carried, { inBytes: -1, outBytes: Number.NaN, uptimeS: 30, atS: 120 }), carried)
})
