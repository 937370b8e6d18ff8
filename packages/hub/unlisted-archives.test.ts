import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unlistedArchives } from './unlisted-archives.ts'

const NOW_MS = Date.parse('2026-11-30T12:00:00Z')
const detailOf = (listedAt: string | null) =>
  unlistedArchives([{ storage: 'pbs', listedAt: listedAt === null ? null : new Date(listedAt), reason: 'It is not active.' }], NOW_MS)?.detail

test('a storage that cannot be listed is told with the age of the last look, and nothing is told where all can be', () => {
  assert.equal(unlistedArchives([], NOW_MS), null)
  assert.equal(detailOf('2026-11-30T11:20:30Z'), 'pbs cannot be listed, last looked at 39 min ago: It is not active.')
  assert.equal(detailOf('2026-11-30T09:00:00Z'), 'pbs cannot be listed, last looked at 3 h ago: It is not active.')
  assert.equal(detailOf('2026-11-30T12:00:09Z'), 'pbs cannot be listed, last looked at 0 min ago: It is not active.', 'by a clock that went back')
  assert.equal(detailOf(null), 'pbs cannot be listed, and never was: It is not active.')
})
