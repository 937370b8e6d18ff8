import assert from 'node:assert/strict'
import test from 'node:test'
import { Kept } from './kept.ts'

const MIB = 1024 * 1024

test('text is kept as text, also when it comes in pieces of a character', () => {
  const kept = new Kept()
  const bytes = Buffer.from('a€b')
  for (const byte of bytes) kept.add(Uint8Array.of(byte))
  assert.deepEqual(kept.as('stdout'), { stdout: 'a€b', stdout_left_out_bytes: 0 })
})

test('what is not UTF-8 is kept as base64', () => {
  const kept = new Kept()
  kept.add(Uint8Array.of(0xff, 0))
  assert.deepEqual(kept.as('stderr'), { stderr_base64: '/wA=', stderr_left_out_bytes: 0 })
})

test('what is beyond the bound is counted and left out, and no character is cut in two', () => {
  const kept = new Kept()
  kept.add(Buffer.from('x'.repeat(MIB - 1)))
  kept.add(Buffer.from('€'))
  kept.add(Buffer.from('more'))
  const { stdout, stdout_left_out_bytes } = kept.as('stdout')
  assert.deepEqual([String(stdout).length, stdout_left_out_bytes], [MIB - 1, 6])
})
