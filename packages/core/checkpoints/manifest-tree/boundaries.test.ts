import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { beginsNode, NODE_ITEMS_MAX, rankOf } from './boundaries.ts'

test('the ranks of these paths are part of the format: another program must find the same', () => {
  const ranks = { '': 0, a: 0, 'project/src/main.ts': 0, n3: 0, n4: 1, n936: 2, n88014: 3 }
  for (const [path, rank] of Object.entries(ranks)) assert.equal(rankOf(path), rank, path)
})

test('one path in 16 ranks above the leaves, one in 1,024 above the first branches', () => {
  let leaves = 0
  let branches = 0
  for (let number = 0; number < 102_400; number++) {
    const rank = rankOf(`project/src/file-${number}.ts`)
    if (rank >= 1) leaves++
    if (rank >= 2) branches++
  }
  assert.ok(Math.abs(leaves - 6_400) < 400, `${leaves}`)
  assert.ok(Math.abs(branches - 100) < 40, `${branches}`)
})

test('whatever the ranks, no node is overfull, and two that begin by their rank alone are never next to one another', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(5), { maxLength: 1_000, size: 'max' }), fc.nat(5), (ranks, level) => {
      let count = 0
      let previous = 0
      let lastBegan = false
      for (const rank of ranks) {
        const isFull = count === (level === 0 ? NODE_ITEMS_MAX.leaf : NODE_ITEMS_MAX.branch)
        const begins = beginsNode(level, count, previous, rank)
        if (isFull || count === 0) assert.ok(begins)
        else if (begins) assert.ok(rank > level && !(lastBegan && previous > level))
        count = begins ? 1 : count + 1
        lastBegan = begins
        previous = rank
      }
    }),
  )
})
