/** A Hub ends every part it has begun, whatever the others do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEnding } from './ending.ts'

function recorded() {
  const lines: { part?: string }[] = []
  const log = { info: () => undefined, warn: () => undefined, error: (fields: object) => void lines.push(fields) }
  return { lines, ending: createEnding(log) }
}

test('what began last ends first, each part once', async () => {
  const { ending } = recorded()
  const ended: string[] = []
  for (const name of ['first', 'second', 'third']) ending.add(name, async () => ended.push(name))
  assert.deepEqual(await ending.run(5_000), [])
  assert.deepEqual(await ending.run(5_000), [])
  assert.deepEqual(ended, ['third', 'second', 'first'])
})

test('a part that throws skips none of the others, and is named in the log and the answer', async () => {
  const { ending, lines } = recorded()
  const ended: string[] = []
  const broken = new Error('broken')
  ending.add('first', async () => ended.push('first'))
  ending.add('rejecting', () => Promise.reject(broken))
  ending.add('throwing', () => {
    throw broken
  })
  ending.add('last', async () => ended.push('last'))
  assert.deepEqual(await ending.run(5_000), [broken, broken])
  assert.deepEqual(ended, ['last', 'first'])
  assert.deepEqual(
    lines.map(({ part }) => part),
    ['throwing', 'rejecting'],
  )
})

test('a part that never ends is left, and the others end all the same', { timeout: 30_000 }, async () => {
  const { ending, lines } = recorded()
  const ended: string[] = []
  ending.add('the file', async () => ended.push('the file'))
  ending.add('the busy engine', () => new Promise(() => undefined))
  const failures = await ending.run(1)
  assert.deepEqual([(failures[0] as { code: string }).code, failures.length], ['operation.deadline', 1])
  assert.deepEqual(ended, ['the file'])
  assert.deepEqual(
    lines.map(({ part }) => part),
    ['the busy engine'],
  )
})
