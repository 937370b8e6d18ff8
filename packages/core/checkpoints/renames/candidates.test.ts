import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CANDIDATES_MAX, Candidates } from './candidates.ts'
import { fileAt } from './testing.ts'

const removed = (path: string, more = {}) => ({ path, status: 'removed', before: fileAt(path, more).entry, after: null }) as const
const added = (path: string, more = {}) => ({ path, status: 'added', before: null, after: fileAt(path, more).entry }) as const

test('what went and what came is held, but neither what stayed nor a link nor what is empty', () => {
  const candidates = new Candidates()
  candidates.offer(removed('gone'))
  candidates.offer(added('new'))
  candidates.offer(added('empty', { size: 0 }))
  candidates.offer(removed('link', { type: 'symlink', sha256: null, link_target: 'x' }))
  candidates.offer({ path: 'stays', status: 'changed', before: fileAt('stays').entry, after: fileAt('stays', { size: 11 }).entry })
  assert.deepEqual([candidates.removed.map(({ path }) => path), candidates.added.map(({ path }) => path)], [['gone'], ['new']])
})

test('a hundred thousand files that went and as many that came are not held, and nothing counts as renamed', () => {
  const candidates = new Candidates()
  let held = 0
  for (let index = 0; index < 100_000; index++) {
    candidates.offer(removed(`a/${index}`))
    candidates.offer(added(`b/${index}`))
    held = Math.max(held, candidates.removed.length, candidates.added.length)
  }
  assert.deepEqual([held, candidates.isOver, candidates.removed.length + candidates.added.length], [CANDIDATES_MAX.files, true, 0])
})

test('long paths count by their length', () => {
  const candidates = new Candidates()
  const long = 'x'.repeat(4000)
  for (let index = 0; index < 3000 && !candidates.isOver; index++) {
    candidates.offer(added(`${long}${index}`))
    const chars = candidates.added.reduce((sum, { path, entry }) => sum + path.length + entry.path.length, 0)
    assert.ok(index % 500 !== 0 || chars <= CANDIDATES_MAX.textChars)
  }
  assert.ok(candidates.isOver)
})
