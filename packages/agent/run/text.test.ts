import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DOOR_LIMITS, StepFinished } from '@autovibe/contract'
import fc from 'fast-check'
import { clip, fitStep, oneLine } from './text.ts'

test('a text is cut to its limit, stays well formed, and holds no character that a database refuses', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.integer({ min: 60, max: 200 }), (text, most) => {
      const cut = clip(`${text}\u0000\ud800`, most)
      assert.ok(cut.length <= most && cut.isWellFormed() && !cut.includes('\u0000'))
    }),
  )
  assert.equal(clip('a'.repeat(100), 60), `${'a'.repeat(33)} [… 40 characters left out]`)
})

test('a summary is one line', () => {
  assert.equal(oneLine('  a\n\tb  '), 'a b')
  assert.equal(oneLine('x'.repeat(500)).length, 200)
})

test("the largest step that an agent can make up fits the door's limits", () => {
  fc.assert(
    fc.property(
      fc.constantFrom('a', '€', '😀', '\u0001', '"'),
      fc.integer({ min: 0, max: 300 }),
      fc.integer({ min: 0, max: 50_000 }),
      (character, tools, chars) => {
        const long = character.repeat(chars)
        const step = fitStep({
          index: 1,
          model: long,
          message_id: long,
          text: long,
          tools: Array.from({ length: tools }, () => ({ name: long, summary: long, is_error: false, duration_ms: 1 })),
        })
        StepFinished.parse(step)
        assert.ok(Buffer.byteLength(JSON.stringify(step)) < DOOR_LIMITS.eventBytes)
      },
    ),
    { numRuns: 40 },
  )
})
