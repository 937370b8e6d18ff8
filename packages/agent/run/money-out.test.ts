import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sentenceOf } from './money-out.ts'

test('a pause for money gives the sentence of the Hub alone, without the wire before it and the command behind it', () => {
  const sentence = 'This needs up to $0.0383, but only $0.0060 is left of the budget of the run run_x (limit $0.0060).'
  for (const wire of ['', '402 autovibe: ', 'API Error: 402 autovibe: '])
    for (const remedy of ['', ' Raise it: autovibe budget set bud_x AMOUNT', '\nRaise it: autovibe budget set bud_x AMOUNT · more'])
      assert.equal(sentenceOf(`${wire}${sentence}${remedy}`), sentence)
})

test('whatever a refusal says, the reason names the budget, by which a raised limit finds the run', () => {
  assert.equal(sentenceOf('402 autovibe: No.'), 'Out of budget: No.')
  assert.equal(sentenceOf('402 autovibe: No. Raise it: autovibe budget set bud_x AMOUNT'), 'Out of budget: No.')
  assert.equal(sentenceOf(''), 'Out of budget: ')
})
