/** A process that is ended by SIGKILL in the middle of a write of capture, verification or collection, again and again: what it said to be kept is whole. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { seeds } from '../../../test/support/seeds.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, type Kept, never, openStore, put } from './testing/place.ts'
import { live, noise } from './testing/small-life.ts'

const CHILD = fileURLToPath(new URL('./testing/life-child.ts', import.meta.url))
/** Each goes on with what the one before it has left, so a failure is played again from the first: `npm run soak -- store`. */
const { count: KILLS, first: SEED } = seeds(16)
/** The calls that change something in one life. */
const CALLS = 12
const AFTER_MS = 6

/** A process lives until it is killed, or until its end; answers what it said last. */
async function lifeUntilKilled(dataDir: string, kept: readonly Kept[], seed: number): Promise<{ kept: Kept[]; wasKilled: boolean }> {
  const [at, afterMs] = [seed % CALLS, (seed * 7919) % AFTER_MS]
  const child = spawn(process.execPath, [CHILD, dataDir, JSON.stringify(kept), String(at), String(afterMs)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [said, [code, signal]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  assert.ok(signal === 'SIGKILL' || code === 0, `it ended with ${code ?? signal}`)
  const last = said.trimEnd().split('\n').at(-1) ?? ''
  return { kept: last === '' ? [...kept] : (JSON.parse(last) as Kept[]), wasKilled: signal === 'SIGKILL' }
}

test(`nothing that a store keeps is lost by ${KILLS} processes that are killed while they write to it, one after the other`, async (t) => {
  t.diagnostic(`npm run soak -- store --from ${SEED} --seeds ${KILLS}`)
  const dataDir = await mkdtemp(join(tmpdir(), 'autovibe-killed-'))
  t.after(() => rm(dataDir, { recursive: true, force: true }))
  const healthy = await openStore(dataDir)
  const first = await capture(healthy, null, changesOf(put('a', noise(5_000)), put('b', noise(100))))
  let kept: Kept[] = [first, await capture(healthy, first, changesOf({ kind: 'remove', path: 'a' }, put('c', noise(300))))]
  let killed = 0
  for (let seed = SEED; seed < SEED + KILLS; seed++) {
    const life = await lifeUntilKilled(dataDir, kept, seed)
    kept = life.kept
    if (life.wasKilled) killed++
    const next = await openStore(dataDir)
    for (const { manifestSha256 } of kept) assert.deepEqual(await next.verify(manifestSha256, null, never), { ok: true, damaged: [] }, `seed ${seed}`)
    // And it goes on as if nothing had been; what killed ones left is collected, not gathered.
    await live(next, kept)
    for (const { manifestSha256 } of kept) assert.ok((await next.verify(manifestSha256, null, never)).ok, `after seed ${seed}`)
    assert.deepEqual((await next.scrub(1e12, never)).problems, [], `seed ${seed}`)
    while (kept.length > 3) await next.forget(kept.shift()?.checkpointId ?? first.checkpointId)
  }
  t.diagnostic(`${killed} of ${KILLS} were killed before their end`)
  assert.ok(killed > KILLS / 4, `only ${killed} were killed`)
})
