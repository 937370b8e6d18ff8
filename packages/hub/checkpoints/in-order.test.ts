import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { InOrder } from './in-order.ts'

test('whatever ends first, a reader gets all of it in the order in which it began', async () => {
  const cases = fc.integer({ min: 0, max: 200 }).chain((count) => {
    const slots = Array.from({ length: count }, (_, slot) => slot)
    return fc.record({ slots: fc.shuffledSubarray(slots, { minLength: count }), pauses: fc.array(fc.boolean(), { minLength: count, maxLength: count }) })
  })
  await fc.assert(
    fc.asyncProperty(cases, async ({ slots, pauses }) => {
      const results = new InOrder<number>()
      const read = Array.fromAsync(results)
      for (const [index, slot] of slots.entries()) {
        results.put(slot, slot * 10)
        if (pauses[index]) await setImmediate()
      }
      results.end()
      assert.deepEqual(
        await read,
        slots.toSorted((a, b) => a - b).map((slot) => slot * 10),
      )
    }),
  )
})

test('a failure reaches the reader, also one that came before it began, and one that waits', async () => {
  const failed = new InOrder<number>()
  failed.put(0, 0)
  failed.fail(new Error('first'))
  failed.fail(new Error('second'))
  failed.end()
  await assert.rejects(Array.fromAsync(failed), /first/)

  const later = new InOrder<number>()
  const read = Array.fromAsync(later)
  later.put(0, 0)
  await setImmediate()
  later.fail(new Error('later'))
  await assert.rejects(read, /later/)
})
