import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodePath, encodePath } from './paths.ts'

const bytesOfNames = fc.uint8Array({ min: 1, maxLength: 64 })
/** Text with bytes broken into it, so that valid and invalid sequences meet at every boundary. */
const mixed = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary' }).map((text) => new TextEncoder().encode(text.replaceAll('\0', ''))),
      bytesOfNames,
    ),
    { maxLength: 6 },
  )
  .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])))

test('every path of bytes comes back from its spelling', () => {
  fc.assert(fc.property(mixed, (bytes) => assert.deepEqual([...decodePath(encodePath(bytes))], [...bytes])))
})

test('the spelling is well-formed text, so JSON and PostgreSQL keep it', () => {
  fc.assert(fc.property(mixed, (bytes) => assert.ok(encodePath(bytes).isWellFormed())))
})

test('a text decodes only when it is the one spelling of its bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      let bytes: Uint8Array
      try {
        bytes = decodePath(text)
      } catch (error) {
        assert.ok(error instanceof RangeError)
        return
      }
      assert.equal(encodePath(bytes), text)
    }),
  )
})

test('plain names stay as they are and the awkward ones are escaped', () => {
  assert.equal(encodePath(Buffer.from('project/größe.ts')), 'project/größe.ts')
  assert.equal(encodePath(Buffer.from('a\\b')), 'a\\\\b')
  assert.equal(encodePath(Buffer.from([0x61, 0xff, 0xc3])), 'a\\xff\\xc3')
  assert.equal(encodePath(Buffer.from([0xef, 0xbb, 0xbf, 0x61])), '\ufeffa')
  for (const wrong of ['\\x41', '\\xFF', '\\q', 'a\\', 'a\0b', '\ud800']) assert.throws(() => decodePath(wrong), RangeError)
})
