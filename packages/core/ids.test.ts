/** Ids: of their form, in the order of time, never twice. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { isId, MachineId } from '@autovibe/contract'
import fc from 'fast-check'
import { encodeId } from './ids.ts'

test('an id has the form that the contract checks', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.uint8Array({ minLength: 10, maxLength: 10 }), (nowMs, chance) => {
      const id = encodeId('machine', nowMs, chance)
      assert.ok(isId('machine', id))
      assert.ok(!isId('run', id))
      assert.equal(MachineId.parse(id), id)
    }),
  )
})

test('ids sort by the time they were made', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 2 }), fc.integer({ min: 1, max: 2 ** 40 }), (nowMs, laterMs) => {
      const [earlier, later] = [nowMs, Math.min(nowMs + laterMs, 2 ** 48 - 1)].map((ms) => encodeId('run', ms, randomBytes(10)))
      assert.ok(String(earlier) < String(later))
    }),
  )
})

test('other chance gives another id', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 10, maxLength: 10 }), fc.uint8Array({ minLength: 10, maxLength: 10 }), (one, other) => {
      assert.equal(encodeId('run', 1, one) === encodeId('run', 1, other), Buffer.from(one).equals(other))
    }),
  )
})
