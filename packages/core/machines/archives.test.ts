import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MACHINE_ARCHIVE_STATES } from '@autovibe/contract'
import fc from 'fast-check'
import { nextArchiveState, surplusArchives } from './archives.ts'

test('an archive never comes back from an end, and becomes nothing that its table does not say', () => {
  const led = MACHINE_ARCHIVE_STATES.map((from) => [from, MACHINE_ARCHIVE_STATES.filter((to) => to !== from && isAllowed(from, to))])
  assert.deepEqual(Object.fromEntries(led), { taking: ['stored', 'failed'], stored: ['removing'], removing: ['stored', 'removed'], removed: [], failed: [] })
})

test('whatever goes is older than all that is kept, and as many good ones are kept as were asked for', () => {
  const archives = fc.uniqueArray(
    fc.record({ id: fc.integer().map((value) => String(1e10 + value)), verification: fc.constantFrom('ok', 'failed', 'pending', null) }),
    {
      selector: ({ id }) => id,
      maxLength: 12,
    },
  )
  fc.assert(
    fc.property(archives, fc.integer({ min: 1, max: 5 }), (all, keep) => {
      const going = new Set(surplusArchives(all, keep))
      const staying = all.filter(({ id }) => !going.has(id))
      const oldestStaying = staying.map(({ id }) => id).sort()[0] ?? ''
      for (const id of going) assert.ok(id < oldestStaying)
      const good = (each: readonly { verification: string | null }[]): number => each.filter(({ verification }) => verification !== 'failed').length
      assert.equal(good(staying), Math.min(keep, good(all)))
    }),
  )
})

function isAllowed(...[from, to]: Parameters<typeof nextArchiveState>): boolean {
  try {
    return nextArchiveState(from, to) === to
  } catch {
    return false
  }
}
