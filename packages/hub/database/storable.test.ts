import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refusalOfBody } from './storable.ts'

const nested = (levels: number): unknown => JSON.parse(`${'{"a":['.repeat(levels / 2)}${']}'.repeat(levels / 2)}`)

test('a body of 32 levels is kept, a deeper one is refused, however deep it is', () => {
  assert.equal(refusalOfBody(nested(32)), null)
  assert.equal(refusalOfBody([[], 'a', null, 1, {}]), null)
  for (const levels of [34, 100_000]) assert.equal(refusalOfBody(nested(levels))?.code, 'request.invalid')
})

test('a text that cannot be stored is found at any place, and so is such a name', () => {
  for (const text of ['a\0b', 'a\ud800b']) for (const body of [text, [{ a: [text] }], { [text]: 1 }]) assert.equal(refusalOfBody(body)?.code, 'request.invalid')
})
