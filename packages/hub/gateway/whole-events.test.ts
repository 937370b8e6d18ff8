/** Events that go on whole, however the bytes are cut. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { LIMITS } from './limits.ts'
import { WholeEvents } from './whole-events.ts'

const lengths = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 30 })
const lines = fc.array(fc.constantFrom('data: a\n', 'event: b\n', '\n', ': c\r\n', '\r\n', 'data: é🚀'), { maxLength: 30 })

describe('an event stream that goes on by whole events', () => {
  it('is the same bytes in the same order, and never stands in the middle of an event', () => {
    fc.assert(
      fc.property(lines, lengths, (parts, cuts) => {
        const bytes = Buffer.from(parts.join(''))
        const events = new WholeEvents()
        let given = ''
        for (let from = 0, turn = 0; from < bytes.length; turn++) {
          const length = cuts[turn % cuts.length] ?? 1
          given += Buffer.from(events.push(bytes.subarray(from, from + length))).toString('latin1')
          from += length
          assert.match(given, /(?:^|\n\r?\n)$/)
        }
        assert.equal(given + Buffer.from(events.rest()).toString('latin1'), bytes.toString('latin1'))
        assert.equal(events.rest().length, 0)
      }),
    )
  })

  it('holds back no more than what follows the last event, and copies nothing that ends with one', () => {
    const piece = Buffer.from('data: a\n\ndata: b\n\n')
    const events = new WholeEvents()
    assert.equal(events.push(piece).buffer, piece.buffer)
    assert.equal(Buffer.from(events.push(Buffer.from('data: a\n\ndata: b'))).toString(), 'data: a\n\n')
    assert.equal(Buffer.from(events.push(Buffer.from('\n\n'))).toString(), 'data: b\n\n')
  })

  it('gives on an event that is too long to hold as it comes', () => {
    const events = new WholeEvents()
    assert.equal(events.push(Buffer.alloc(LIMITS.eventLineBytes, 'x')).length, 0)
    assert.equal(events.push(Buffer.from('xx')).length, LIMITS.eventLineBytes + 2)
    assert.equal(events.push(Buffer.from('\n\nx')).length, 2)
    assert.equal(events.rest().length, 1)
  })
})
