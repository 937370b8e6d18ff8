import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { AutovibeError } from '@autovibe/contract'
import { systemRuntime } from '../runtime.ts'
import type { TreeChange } from '../substrates/substrate.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, never, openStore, segmentFiles } from './testing/place.ts'

const run = promisify(execFile)
const noise = (path: string, size: number): TreeChange => ({
  kind: 'put',
  entry: { path, type: 'file', mode: 0o644, size, mtime_ms: 1, link_target: null },
  open: () => Readable.from([systemRuntime.randomBytes(size)], { objectMode: false }),
})

test('a full disk fails the capture as such, gives back what it took, and the store goes on', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'autovibe-full-'))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', dataDir])
  } catch (error) {
    await rmdir(dataDir)
    t.skip(`a file system of known size cannot be mounted here: ${String(error).split('\n')[0]}`)
    return
  }
  t.after(async () => {
    await run('umount', [dataDir])
    await rm(dataDir, { recursive: true })
  })
  const store = await openStore(dataDir)
  const full = (error: unknown): boolean =>
    error instanceof AutovibeError && error.code === 'substrate.disk_full' && !error.retryable && error.fix !== undefined
  await assert.rejects(capture(store, null, changesOf(noise('large', 6_000_000))), full)
  // Less than a segment, or the last of them would find room and stay for whoever comes next.
  await assert.rejects(capture(store, null, changesOf(...Array.from({ length: 10 }, (_, index) => noise(`small-${index}`, 700_000)))), full)
  assert.deepEqual(await readdir(join(dataDir, 'store', 'tmp')), [])
  assert.deepEqual(await segmentFiles(dataDir), [])
  const captured = await capture(store, null, changesOf(noise('tiny', 1000)))
  assert.equal((await store.verify(captured.manifestSha256, null, never)).ok, true)
})
