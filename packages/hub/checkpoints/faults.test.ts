/** A store whose process is killed, or whose disk gives up, at every single call: what was said to be kept stays kept, and the next process goes on. */
import assert from 'node:assert/strict'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import type { Backend } from './backends/backend.ts'
import { openFolder } from './backends/folder.ts'
import { createCheckpointStore } from './create-checkpoint-store.ts'
import type { ProjectStore } from './store.ts'
import { faultyBackend, Killed } from './testing/faulty-backend.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, type Kept, never, openStore, PROJECT, put, SECRETS } from './testing/place.ts'
import { live, noise } from './testing/small-life.ts'

const CALLS_MAX = 400

const storeOn = async (backend: Backend): Promise<ProjectStore> => (await createCheckpointStore({ backend, secrets: SECRETS, isOwn: true })).of(PROJECT)

for (const [fault, reads] of [
  ['dies before', false],
  ['dies after', false],
  ['ENOSPC', false],
  ['EIO', true],
] as const) {
  test(`a store loses nothing that it keeps when, at any call, ${fault.startsWith('dies') ? `its process ${fault} it` : `the disk answers ${fault}`}`, async (t) => {
    const base = await mkdtemp(join(tmpdir(), 'autovibe-faults-'))
    t.after(() => rm(base, { recursive: true, force: true }))
    const origin = join(base, 'origin')
    const before: Kept[] = []
    const healthy = await openStore(origin)
    before.push(await capture(healthy, null, changesOf(put('a', noise(5_000)), put('b', noise(100)))))
    before.push(await capture(healthy, before[0] ?? null, changesOf({ kind: 'remove', path: 'a' }, put('c', noise(300)))))
    let at = 0
    for (let isOver = false; !isOver; at++) {
      assert.ok(at < CALLS_MAX, 'the life has no end')
      const dataDir = join(base, `at-${at}`)
      await cp(origin, dataDir, { recursive: true })
      const kept = [...before]
      const backend = faultyBackend(await openFolder(join(dataDir, 'store'), { isOwn: true }), fault, at, reads)
      try {
        await live(await storeOn(backend), kept)
      } catch (error) {
        assert.ok(error instanceof Killed || error instanceof AutovibeError, String(error))
      }
      isOver = backend.calls <= at
      const next = await openStore(dataDir)
      for (const { manifestSha256 } of kept) assert.deepEqual(await next.verify(manifestSha256, null, never), { ok: true, damaged: [] }, `call ${at}`)
      // And it goes on from there as if nothing had been.
      await live(next, kept)
      for (const { manifestSha256 } of kept) assert.ok((await next.verify(manifestSha256, null, never)).ok, `after call ${at}`)
      assert.deepEqual((await next.scrub(1e12, never)).problems, [])
      await rm(dataDir, { recursive: true })
    }
    assert.ok(at > 10, `only ${at} calls`)
  })
}
