import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Candidate } from './candidates.ts'
import { pairExact } from './exact.ts'
import { anyFiles, fileAt } from './testing.ts'

const contentKey = ({ entry }: Candidate) => entry.sha256
const paths = (files: readonly Candidate[]): string[] => files.map(({ path }) => path)

test('whoever is paired has the same content, each file is in one place, and nothing that could be paired is left', () => {
  fc.assert(
    fc.property(anyFiles, anyFiles, (removed, added) => {
      const paired = pairExact(removed, added)
      for (const { from, to, percent } of paired.renames) assert.deepEqual([contentKey(from), percent], [contentKey(to), 100])
      const from = paired.renames.map((one) => one.from)
      const to = paired.renames.map((one) => one.to)
      assert.deepEqual(paths([...from, ...paired.removed]).sort(), paths(removed).sort())
      assert.deepEqual(paths([...to, ...paired.added]).sort(), paths(added).sort())
      const left = new Set(paired.removed.map(contentKey))
      assert.ok(paired.added.every((one) => !left.has(contentKey(one))))
    }),
  )
})

test('of several with the same content, each goes to the one of its own name, the others in their order', () => {
  const { renames } = pairExact(
    ['a/x', 'a/y', 'a/z'].map((path) => fileAt(path)),
    ['b/1', 'b/z', 'c/x'].map((path) => fileAt(path)),
  )
  assert.deepEqual(
    renames.map(({ from, to }) => [from.path, to.path]),
    [
      ['a/z', 'b/z'],
      ['a/x', 'c/x'],
      ['a/y', 'b/1'],
    ],
  )
})

test('fifty thousand files of one content on either side are paired in one pass over them', () => {
  const many = (folder: string): Candidate[] => Array.from({ length: 50_000 }, (_, index) => fileAt(`${folder}/${folder}${index}`))
  const { renames } = pairExact(many('a'), many('b'))
  assert.equal(renames.length, 50_000)
  assert.deepEqual([renames[49_999]?.from.path, renames[49_999]?.to.path], ['a/a49999', 'b/b49999'])
})
