import assert from 'node:assert/strict'
import { test } from 'node:test'
import { spansOf } from './spans.ts'

const MIB = 1024 * 1024

test('records of zeros, which take nothing while they are sealed, are read a few at a time', () => {
  const records = Array.from({ length: 100 }, (_, record) => ({ offset: record * 95, length: 91, plainBytes: MIB }))
  const sorted = records.map((_, record) => ({ place: { segment: 0, record, start: 0, bytes: MIB } }))
  const spans = [...spansOf(sorted, ({ place }) => records[place.record])]
  assert.deepEqual(
    spans.flatMap(({ items }) => items),
    sorted,
  )
  for (const { items } of spans) assert.ok(items.length <= 16, String(items.length))
})

test('objects of one record and of records that lie close are read together, those of another segment are not', () => {
  const records = [
    { offset: 0, length: 100, plainBytes: 1000 },
    { offset: 150, length: 100, plainBytes: 1000 },
    { offset: 900_000, length: 100, plainBytes: 1000 },
  ]
  const places = [
    [0, 0],
    [0, 0],
    [0, 1],
    [0, 2],
    [1, 0],
  ] as const
  const sorted = places.map(([segment, record]) => ({ place: { segment, record, start: 0, bytes: 1 } }))
  const spans = [...spansOf(sorted, ({ place }) => records[place.record])]
  assert.deepEqual(
    spans.map(({ items, offset, length }) => [items.length, offset, length]),
    [
      [3, 0, 250],
      [1, 900_000, 100],
      [1, 0, 100],
    ],
  )
})
