import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import fc from 'fast-check'
import { storeError } from '../store-errors.ts'
import { Windows } from './windows.ts'

const SEGMENT = Buffer.from(Uint8Array.from({ length: 1_000_000 }, (_, at) => (at * 31 + (at >> 8)) & 0xff))
const from =
  (segment: Buffer, asked: { count: number } = { count: 0 }) =>
  async (offset: number, length: number): Promise<Buffer> => {
    asked.count++
    return segment.subarray(offset, offset + length)
  }

test('a window gives what the place itself would give, wherever it lies and however long it is', async () => {
  const ranges = fc.array(fc.record({ offset: fc.integer({ min: 0, max: SEGMENT.length }), length: fc.integer({ min: 1, max: 300_000 }) }))
  await fc.assert(
    fc.asyncProperty(ranges, async (wanted) => {
      const windows = new Windows()
      for (const { offset, length } of wanted)
        assert.ok((await windows.get('a', offset, length, from(SEGMENT)))?.equals(SEGMENT.subarray(offset, offset + length)), `${offset} ${length}`)
    }),
  )
})

test('neighbours are asked for once, two segments are kept apart, and what is forgotten is asked for again', async () => {
  const windows = new Windows()
  const asked = { count: 0 }
  const other = Buffer.alloc(SEGMENT.length, 7)
  await Promise.all([0, 4_000, 9_000].map((offset) => windows.get('a', offset, 4_000, from(SEGMENT, asked))))
  assert.equal(asked.count, 1)
  assert.ok((await windows.get('b', 0, 4_000, from(other, asked)))?.equals(other.subarray(0, 4_000)))
  assert.equal(asked.count, 2)
  windows.clear()
  await windows.get('a', 0, 4_000, from(SEGMENT, asked))
  assert.equal(asked.count, 3)
})

test('no more than 32 windows are kept, and those that were used last', async () => {
  const windows = new Windows()
  const asked = { count: 0 }
  const look = (segment: number) => windows.get(String(segment), 0, 100, from(SEGMENT, asked))
  for (let segment = 0; segment < 32; segment++) await look(segment)
  await look(0)
  await look(32)
  assert.equal(asked.count, 33)
  await look(0)
  assert.equal(asked.count, 33)
  await look(1)
  assert.equal(asked.count, 34)
})

test('what is missing, or beside what the disk does not give, is asked for by itself and not kept', async () => {
  const windows = new Windows()
  assert.equal(await windows.get('a', 0, 100, async () => null), null)
  assert.ok((await windows.get('a', 0, 100, from(SEGMENT)))?.equals(SEGMENT.subarray(0, 100)))

  const bad = 5_000
  const read = async (offset: number, length: number): Promise<Buffer> => {
    if (offset <= bad && bad < offset + length) throw storeError(Object.assign(new Error('bad sector'), { code: 'EIO' }), 'here')
    return SEGMENT.subarray(offset, offset + length)
  }
  assert.ok((await windows.get('b', 100, 200, read))?.equals(SEGMENT.subarray(100, 300)))
  await assert.rejects(windows.get('b', 4_900, 200, read), (error) => error instanceof AutovibeError && error.retryable)
})
