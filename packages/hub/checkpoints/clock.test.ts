/** No clock decides what a store keeps: one that stands still, jumps back or ahead by years changes nothing. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { changesOf } from './testing/folder-changes.ts'
import { capture, type Kept, never, openStore, put } from './testing/place.ts'
import { live, noise } from './testing/small-life.ts'

const DAY_MS = 86_400_000
const YEAR_MS = 365 * DAY_MS

for (const [what, step] of [
  ['stands still', 0],
  ['jumps back by a day at every look', -DAY_MS],
  ['jumps ahead by a year at every look', YEAR_MS],
] as const) {
  test(`a store loses nothing that it keeps, and collects what it does not, while the clock ${what}`, async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'autovibe-clock-'))
    t.after(() => rm(dataDir, { recursive: true, force: true }))
    let now = Date.now()
    t.mock.method(Date, 'now', () => {
      now += step
      return Math.max(0, now)
    })
    const first = await capture(await openStore(dataDir), null, changesOf(put('a', noise(5_000)), put('b', noise(100))))
    const kept: Kept[] = [first, await capture(await openStore(dataDir), first, changesOf({ kind: 'remove', path: 'a' }, put('c', noise(300))))]
    const sizes: number[] = []
    for (let life = 0; life < 4; life++) {
      const store = await openStore(dataDir)
      await live(store, kept)
      for (const { manifestSha256 } of kept) assert.deepEqual(await store.verify(manifestSha256, null, never), { ok: true, damaged: [] })
      sizes.push((await store.size()).storedBytes)
    }
    // Each life forgets one large content and brings another.
    assert.ok((sizes.at(-1) ?? 0) < 2 * (sizes[1] ?? 0), `${sizes}`)
  })
}
