import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Candidate, Rename } from './candidates.ts'
import { bestOf, chooseRenames, mayBeSimilar, SIMILAR, sameNamePairs, sizesAllow } from './similar.ts'
import { similarity, spansOf } from './spans.ts'
import { anyFiles, fileAt } from './testing.ts'

const text = fc
  .array(fc.constantFrom('a\n', 'bb\n', 'ccc\n', '\n', 'a\r\n', 'x'.repeat(200), 'last'), { maxLength: 30 })
  .map((lines) => Buffer.from(lines.join('')))
const alike = (a: Uint8Array, b: Uint8Array): number => similarity(spansOf(a), spansOf(b))

test('likeness is between 0 and 100, the same both ways, 100 for the same text, and blind to the order of lines', () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      const percent = alike(a, b)
      assert.ok(Number.isInteger(percent) && percent >= 0 && percent <= 100)
      assert.equal(alike(b, a), percent)
    }),
  )
  const lines = fc.array(fc.constantFrom('a\n', 'bb\n', 'ccc\n', '\n'), { maxLength: 30 })
  fc.assert(fc.property(lines, (some) => assert.equal(alike(Buffer.from(some.join('')), Buffer.from(some.toReversed().join(''))), 100)))
})

test('likeness is what both have, of the larger', () => {
  const lines = (from: number, to: number) => Buffer.from(Array.from({ length: to - from }, (_, index) => `line ${1000 + from + index}\n`).join(''))
  assert.equal(alike(lines(0, 100), lines(25, 100)), 75)
  assert.equal(alike(lines(0, 100), lines(50, 150)), 50)
  assert.equal(alike(lines(0, 100), lines(100, 200)), 0)
  assert.equal(alike(Buffer.from('a\r\nb\r\n'), Buffer.from('a\nb\n')), 66)
  assert.equal(alike(Buffer.alloc(0), Buffer.alloc(0)), 100)
})

test('no text can be more alike than the sizes allow', () => {
  fc.assert(fc.property(text, text, (a, b) => assert.ok(sizesAllow(a.length, b.length, alike(a, b)))))
})

test('a text has at most as many pieces as bytes, and its pieces take no more than it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const { hashes, bytes: counts } = spansOf(bytes)
      assert.deepEqual(
        [...hashes],
        [...new Set(hashes)].sort((a, b) => a - b),
      )
      assert.ok(counts.reduce((sum, each) => sum + each, 0) <= bytes.length)
    }),
  )
})

const anyScored: fc.Arbitrary<Rename[]> = fc
  .tuple(anyFiles, anyFiles, fc.array(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 40, max: 100 })), { maxLength: 60 }))
  .filter(([removed, added]) => removed.length > 0 && added.length > 0)
  .map(([removed, added, scores]) =>
    scores.map(([from, to, percent]) => ({ from: removed[from % removed.length] as Candidate, to: added[to % added.length] as Candidate, percent })),
  )

test('of what is alike each file is chosen at most once, and nothing is passed over for something less alike', () => {
  fc.assert(
    fc.property(anyScored, (scored) => {
      const chosen = chooseRenames(scored)
      const [from, to] = [new Map(chosen.map((one) => [one.from, one])), new Map(chosen.map((one) => [one.to, one]))]
      assert.deepEqual([from.size, to.size], [chosen.length, chosen.length])
      for (const one of scored) {
        const rivals = [from.get(one.from), to.get(one.to)].filter((rival) => rival !== undefined)
        assert.ok(rivals.some(({ percent }) => percent >= one.percent))
      }
    }),
  )
})

test('a file that came is remembered with its best few, and with none that has less than half of it', () => {
  fc.assert(
    fc.property(anyScored, (scored) => {
      const best = bestOf(scored)
      assert.ok(best.length <= 4 && best.every(({ percent }) => percent >= SIMILAR.percentMin))
      const least = best.at(-1)?.percent ?? 0
      assert.ok(scored.filter(({ percent }) => percent > least && percent >= SIMILAR.percentMin).length <= Math.max(0, best.length - 1))
    }),
  )
})

test('only those that alone bear their name on both sides, and may be alike by their sizes, are compared before the others', () => {
  const sized = (path: string, size = 100) => fileAt(path, { size })
  const pairs = sameNamePairs(
    [sized('a/one'), sized('a/two'), sized('b/two'), sized('a/big', 1000), sized('a/gone')],
    [sized('x/one', 80), sized('x/two'), sized('x/big', 700), sized('x/new')],
  )
  assert.deepEqual(
    pairs.map(([from, to]) => [from.path, to.path]),
    [['a/one', 'x/one']],
  )
})

test('links and files that are empty or large are not compared', () => {
  assert.deepEqual(
    [{}, { size: 0 }, { size: SIMILAR.fileBytesMax + 1 }, { type: 'symlink' as const, sha256: null, link_target: 'x' }].map((more) =>
      mayBeSimilar(fileAt('f', more)),
    ),
    [true, false, false, false],
  )
})
