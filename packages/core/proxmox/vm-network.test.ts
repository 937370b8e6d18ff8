import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CardCounters, carriedOn, firstCarried } from './vm-network.ts'

test('counters that were told some seconds ago charge nothing twice, in whatever order old and new ones come', () => {
  const step = fc.record({ bytes: fc.nat(1e6), seconds: fc.integer({ min: 1, max: 9 }), boots: fc.boolean(), staleS: fc.nat(10) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(1e6), (steps, before) => {
      let now: CardCounters = { inBytes: before, outBytes: 0, uptimeS: 100, atS: 1000 }
      let ofThisBoot = [now]
      let carried = firstCarried(now)
      let whole = 0
      for (const { bytes, seconds, boots, staleS } of steps) {
        // Nobody can tell what was not seen before a boot.
        if (boots) carried = carriedOn(carried, now)
        const from = boots ? { inBytes: 0, outBytes: 0, uptimeS: 0, atS: now.atS + 60 } : now
        if (boots) ofThisBoot = [from]
        now = { ...from, inBytes: from.inBytes + bytes, uptimeS: from.uptimeS + seconds, atS: from.atS + seconds }
        ofThisBoot.push(now)
        whole += bytes
        const told = ofThisBoot.findLast(({ atS }) => atS <= now.atS - staleS) ?? now
        carried = carriedOn(carried, { ...told, atS: now.atS })
        assert.ok(carried.inBytes <= whole, `${carried.inBytes} of ${whole}`)
      }
      assert.equal(carriedOn(carried, now).inBytes, whole)
    }),
  )
})

test('a list that is older than the close look before it is no boot', () => {
  const close = carriedOn(firstCarried({ inBytes: 0, outBytes: 0, uptimeS: 10, atS: 100 }), { inBytes: 900, outBytes: 90, uptimeS: 50, atS: 140 })
  assert.equal(carriedOn(close, { inBytes: 700, outBytes: 70, uptimeS: 42, atS: 142 }), close)
})
