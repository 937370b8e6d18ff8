import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Pieces, Pool } from './pieces.ts'

test('what was added comes back in order, whatever its parts, also from buffers that were used before', () => {
  const pool = new Pool(64, 4)
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), (added) => {
      const pieces = new Pieces(pool)
      for (const bytes of added) pieces.add(bytes)
      const all = Buffer.concat(added)
      assert.equal(pieces.bytes, all.length)
      assert.deepEqual(Buffer.concat(pieces.parts()), all)
      assert.ok(pieces.parts().every(({ length }) => length <= 64))
      pieces.giveBack()
      assert.deepEqual([pieces.bytes, pieces.parts().length], [0, 0])
    }),
  )
})

test('two who grow at once share no buffer', () => {
  const pool = new Pool(8, 8)
  const before = new Pieces(pool)
  before.add(Buffer.alloc(40, 'x'))
  before.giveBack()
  const [one, other] = [new Pieces(pool), new Pieces(pool)]
  for (let turn = 0; turn < 10; turn++) {
    one.add(Buffer.from('one'))
    other.add(Buffer.from('other'))
  }
  assert.equal(Buffer.concat(one.parts()).toString(), 'one'.repeat(10))
  assert.equal(Buffer.concat(other.parts()).toString(), 'other'.repeat(10))
})

test('a pool keeps no more than it is told', () => {
  const pool = new Pool(8, 1)
  const [first, second] = [pool.take(), pool.take()]
  pool.giveBack(first)
  pool.giveBack(second)
  assert.equal(pool.take(), first)
  assert.notEqual(pool.take(), second)
})
