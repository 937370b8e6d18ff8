import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyPatch } from 'diff'
import fc from 'fast-check'
import { newEffort, unifiedText } from './unified-text.ts'

const HEADER = '--- a/f\n+++ b/f\n'
const line = fc.constantFrom('a\n', 'b\n', '\n', 'a\r\n', 'a\r', '\u2028\n', '-- x\n', '++ y\n', '@@ -1 +1 @@\n', '\\ No newline at end of file\n', ' \n')
const text = fc.tuple(fc.array(line, { maxLength: 40 }), fc.constantFrom('', 'end', '\r')).map(([lines, rest]) => lines.join('') + rest)

test('the hunks, applied to the one text, make the other', () => {
  fc.assert(
    fc.property(text, text, (before, after) => {
      const { hunks } = unifiedText(before, after)
      assert.equal(hunks === '' ? before : applyPatch(before, HEADER + hunks, { autoConvertLineEndings: false }), after)
    }),
    { numRuns: 500 },
  )
})

test('the counts are those of the lines with a sign', () => {
  fc.assert(
    fc.property(text, text, (before, after) => {
      const { hunks, addedLines, removedLines } = unifiedText(before, after)
      const signs = hunks.split('\n').filter((one) => !/^@@ -\d+,\d+ \+\d+,\d+ @@$/.test(one))
      assert.equal(signs.filter((one) => one.startsWith('+')).length, addedLines)
      assert.equal(signs.filter((one) => one.startsWith('-')).length, removedLines)
    }),
  )
})

test('equal texts have no hunks', () => {
  fc.assert(fc.property(text, (same) => assert.deepEqual(unifiedText(same, same), { hunks: '', addedLines: 0, removedLines: 0 })))
})

test('a small change in a long text has three lines around it, and near changes share a hunk', () => {
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index + 1}\n`)
  const changed = lines.with(9, 'ten\n').with(15, 'sixteen\n').with(79, 'eighty\n')
  const { hunks, addedLines, removedLines } = unifiedText(lines.join(''), changed.join(''))
  assert.deepEqual(hunks.match(/^@@.*$/gm), ['@@ -7,13 +7,13 @@', '@@ -77,7 +77,7 @@'])
  assert.deepEqual([addedLines, removedLines], [3, 3])
})

test('texts with nothing in common, or made to be slow to compare, become one replacement', () => {
  const shuffled = (seed: number): string => Array.from({ length: 100_000 }, (_, index) => `${(index * seed) % 7}\n`).join('')
  for (const [before, after] of [
    [shuffled(3), shuffled(5)],
    ['x\n'.repeat(250_000), 'y\n'.repeat(250_000)],
  ] as const) {
    const { hunks, addedLines, removedLines } = unifiedText(before, after)
    assert.equal(hunks.match(/^@@/gm)?.length, 1)
    assert.ok(addedLines > 90_000 && removedLines > 90_000)
  }
})

test('many texts that are slow to compare use up one effort, and are still right', () => {
  const effort = newEffort()
  let seed = 1
  const coin = (): string => {
    seed = (seed * 48_271) % 2_147_483_647
    return `${seed & 1}\n`
  }
  const coins = (): string => Array.from({ length: 3000 }, coin).join('')
  for (let count = 0; count < 60; count++) {
    const [before, after] = [coins(), coins()]
    assert.equal(applyPatch(before, HEADER + unifiedText(before, after, effort).hunks), after)
  }
  assert.equal(effort.left, 0)
})
