import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isNeededOnDisk, type StoredState, thawable } from './held-trees.ts'

const frozen = (...states: readonly StoredState[]) => states.map((state, index) => ({ id: `${index}`, state }))

test('what only the disk has stays, whether it is on its way or was lost', () => {
  assert.deepEqual(thawable(frozen('coming', 'lost', 'gone')), ['2'])
})

test('the newest tree that the store has stays, for the next capture is told against it', () => {
  assert.deepEqual(thawable(frozen('kept', 'kept', 'kept')), ['0', '1'])
})

test('so does the base of captures that are still to come', () => {
  assert.deepEqual(thawable(frozen('kept', 'kept', 'coming', 'coming', 'coming')), ['0'])
  assert.deepEqual(thawable(frozen('kept', 'coming', 'kept')), [])
})

test('whatever there is, nothing needed goes, and there is a base for the next capture if there was one', () => {
  const states = fc.array(fc.constantFrom<StoredState>('kept', 'coming', 'lost', 'gone'))
  fc.assert(
    fc.property(states, (all) => {
      const trees = frozen(...all)
      const thawed = new Set(thawable(trees))
      for (const { id, state } of trees) if (isNeededOnDisk(state)) assert.ok(!thawed.has(id))
      for (const [index, { state }] of trees.entries()) {
        if (state !== 'coming') continue
        const base = trees.slice(0, index).findLast((each) => each.state === 'kept')
        const first = trees.findIndex((each) => each.state === 'coming')
        if (base !== undefined && Number(base.id) < first) assert.ok(!thawed.has(base.id))
      }
      const newest = trees.findLast(({ state }) => state === 'kept')
      if (newest) assert.ok(!thawed.has(newest.id))
    }),
  )
})
