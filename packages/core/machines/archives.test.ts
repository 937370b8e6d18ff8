import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MACHINE_ARCHIVE_STATES } from '@autovibe/contract'
import fc from 'fast-check'
import { nextArchiveState, surplusArchives } from './archives.ts'

test('an archive never comes back from an end, and becomes nothing that its table does not say', () => {
  const led = MACHINE_ARCHIVE_STATES.map((from) => [from, MACHINE_ARCHIVE_STATES.filter((to) => to !== from && isAllowed(from, to))])
  assert.deepEqual(Object.fromEntries(led), {
    taking: ['stored', 'failed'],
    stored: ['removing'],
    removing: ['stored', 'removed'],
    removed: [],
    failed: ['removed'],
  })
})

test('whatever goes is older than all that is kept, and as many good ones are kept as were asked for', () => {
  const archives = fc.uniqueArray(
    fc.record({ id: fc.integer().map((value) => String(1e10 + value)), verification: fc.constantFrom('ok', 'failed', 'pending', null), missing: fc.boolean() }),
    {
      selector: ({ id }) => id,
      maxLength: 12,
    },
  )
  fc.assert(
    fc.property(archives, fc.integer({ min: 1, max: 5 }), (all, keep) => {
      const going = new Set(surplusArchives(all, keep))
      const staying = all.filter(({ id }) => !going.has(id))
      const good = (each: typeof all) => each.filter(({ verification, missing }) => verification !== 'failed' && !missing).map(({ id }) => id)
      const sure = (each: typeof all) => each.filter(({ verification, missing }) => verification === 'ok' && !missing)
      const newest = good(all).sort().reverse().slice(0, keep)
      const spared = sure(staying).filter(({ id }) => !newest.includes(id))
      assert.deepEqual(
        good(staying)
          .filter((id) => !spared.some((each) => each.id === id))
          .sort()
          .reverse(),
        newest,
      )
      assert.ok(spared.length <= 1)
      for (const id of going) assert.ok(newest.length === keep && id < (newest.at(-1) ?? ''))
      assert.equal(sure(all).length > 0, sure(staying).length > 0, 'one that was verified is left as long as there is one')
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
