import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inflateSync } from 'node:zlib'
import fc from 'fast-check'
import { base85Lines, binaryPatch } from './binary-patch.ts'

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~'

/** As git reads it (base85.c), written anew. */
function decoded(text: string): Buffer {
  const lines = text.split('\n').slice(0, -1)
  return Buffer.concat(
    lines.map((line) => {
      const first = line.charCodeAt(0)
      const length = first >= 0x61 ? first - 0x61 + 27 : first - 0x41 + 1
      const words = line.slice(1).match(/.{5}/g) ?? []
      const bytes = words.map((word) => {
        const four = Buffer.alloc(4)
        four.writeUInt32BE([...word].reduce((sum, digit) => sum * 85 + DIGITS.indexOf(digit), 0))
        return four
      })
      return Buffer.concat(bytes).subarray(0, length)
    }),
  )
}

test('any bytes come back from their lines, of which each has at most 52', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const text = base85Lines(bytes)
      assert.deepEqual(decoded(text), Buffer.from(bytes))
      assert.match(text, /^([A-Za-z]([^\s'",./:[\]\\]{5}){1,13}\n)*$/)
    }),
  )
})

test('a patch holds both versions whole, each closed by an empty line', async () => {
  const [before, after] = [Buffer.alloc(0), Buffer.from([0, 1, 2, 255])]
  const text = await binaryPatch(before, after)
  const [, young = '', old = ''] = /^GIT binary patch\nliteral 4\n((?:.+\n)+)\nliteral 0\n((?:.+\n)+)\n$/.exec(text) ?? []
  assert.deepEqual([inflateSync(decoded(young)), inflateSync(decoded(old))], [after, before])
})
