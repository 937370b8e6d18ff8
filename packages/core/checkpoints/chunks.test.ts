import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CHUNK_BYTES, chunkLength, GEARS } from './chunks.ts'

/** Numbers without a pattern, from a seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

const gears = Uint32Array.from({ length: GEARS }, numbers(7))
const bytesOf = (seed: number, length: number): Uint8Array => {
  const next = numbers(seed)
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, next)
  return new Uint8Array(words.buffer, 0, length)
}

function lengths(bytes: Uint8Array): number[] {
  const found: number[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = chunkLength(bytes.subarray(at, at + CHUNK_BYTES.max), gears)
    found.push(length)
    at += length
  }
  return found
}

test('every chunk but the last lies between the shortest and the longest length', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 0, max: 9_000_000 }), fc.boolean(), (seed, length, isEven) => {
      const found = lengths(isEven ? new Uint8Array(length).fill(seed) : bytesOf(seed, length))
      assert.equal(
        found.reduce((sum, each) => sum + each, 0),
        length,
      )
      for (const each of found.slice(0, -1)) assert.ok(each >= CHUNK_BYTES.min && each <= CHUNK_BYTES.max, String(each))
    }),
    { numRuns: 20 },
  )
})

test('the chunks of bytes without a pattern are about as long as wanted', () => {
  const found = lengths(bytesOf(1, 64 * 1024 * 1024))
  const mean = (64 * 1024 * 1024) / found.length
  assert.ok(mean > CHUNK_BYTES.wanted / 2 && mean < CHUNK_BYTES.wanted * 2, String(mean))
})

test('bytes put in at one place change the chunks there and no others', () => {
  const before = bytesOf(3, 24 * 1024 * 1024)
  const at = 10 * 1024 * 1024
  const after = new Uint8Array(before.length + 5)
  after.set(before.subarray(0, at))
  after.set([1, 2, 3, 4, 5], at)
  after.set(before.subarray(at), at + 5)
  const pieces = (bytes: Uint8Array): string[] => {
    let from = 0
    return lengths(bytes).map((length) => {
      const piece = bytes.subarray(from, from + length)
      from += length
      return `${length} ${piece.slice(0, 16).join(' ')} ${piece.slice(-16).join(' ')}`
    })
  }
  const known = new Set(pieces(before))
  const fresh = pieces(after).filter((piece) => !known.has(piece))
  assert.ok(fresh.length >= 1 && fresh.length <= 3, `${fresh.length} of ${known.size}`)
})
