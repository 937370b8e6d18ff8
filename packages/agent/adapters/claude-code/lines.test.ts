import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LineSplitter } from './lines.ts'

function split(chunks: readonly Buffer[], max: number): { lines: string[]; skipped: number } {
  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line), max)
  for (const chunk of chunks) splitter.add(chunk)
  splitter.end()
  return { lines, skipped: splitter.skipped }
}

test('lines come whole, wherever the chunks are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: fc.constantFrom('a', 'ä', '€', '😀'), minLength: 1, maxLength: 12 }), { maxLength: 8 }),
      fc.array(fc.nat(200), { maxLength: 8 }),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
        const marks = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
        const chunks = marks.slice(1).map((end, i) => bytes.subarray(marks[i], end))
        assert.deepEqual(split(chunks, 1000), { lines, skipped: 0 })
      },
    ),
  )
})

test('a line without end costs no more memory than the limit and hides only itself', () => {
  assert.deepEqual(split([Buffer.from('a\nbbbb'), Buffer.from('bbbbbbbb'), Buffer.from('bb\nc')], 8), { lines: ['a', 'c'], skipped: 1 })
})
