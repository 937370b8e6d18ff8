import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { systemRuntime } from '../runtime.ts'
import { segmentProblem } from './segments/check-segment.ts'
import { segmentKey } from './segments/format.ts'
import { folderChanges } from './testing/folder-changes.ts'
import { capture, keyOf, never, openStore, refFiles, segmentFiles } from './testing/place.ts'

const CHILD = fileURLToPath(new URL('./testing/capture-child.ts', import.meta.url))
const FILES = 160

/** Ends the capturing process with SIGKILL once it has taken up so many changes and put so many segments; it may have finished before the signal arrives. */
async function captureAndKill(dataDir: string, tree: string, afterChanges: number, afterSegments: number): Promise<void> {
  const child = spawn(process.execPath, [CHILD, dataDir, tree], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  let changes = 0
  child.stdout.on('data', (chunk: Buffer) => {
    changes += String(chunk).split('change\n').length - 1
  })
  while (child.exitCode === null && (changes < afterChanges || (await segmentFiles(dataDir)).length < afterSegments)) await setImmediate()
  child.kill('SIGKILL')
  await ended
  assert.ok(changes >= afterChanges, `only ${changes} changes were seen`)
}

/** Every segment with a final name must be whole; returns how many there are. */
async function checkSegments(dataDir: string): Promise<number> {
  const files = await segmentFiles(dataDir)
  for (const path of files) {
    const id = Buffer.from(path.slice(-32), 'hex')
    assert.equal(segmentProblem(await readFile(path), id, segmentKey(await keyOf(dataDir), id)), null)
  }
  return files.length
}

test('a capture that is killed anywhere leaves no half segment under a final name, and a store that takes the same capture again', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-crash-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  const tree = join(base, 'tree')
  await mkdir(tree)
  for (let index = 0; index < FILES; index++)
    await writeFile(join(tree, `f${index}`), index % 4 === 0 ? systemRuntime.randomBytes(1_500_000) : `file ${index}\n`.repeat(index * 50))
  let partial = 0
  for (const [afterChanges, afterSegments] of [
    [1, 0],
    [80, 0],
    [40, 1],
    [40, 2],
    [FILES, 3],
  ] as const) {
    const dataDir = join(base, `data-${afterChanges}-${afterSegments}`)
    await mkdir(dataDir)
    await captureAndKill(dataDir, tree, afterChanges, afterSegments)
    const segments = await checkSegments(dataDir)
    if (segments > 0 && (await refFiles(dataDir)).length === 0) partial++
    const store = await openStore(dataDir)
    assert.deepEqual(await readdir(join(dataDir, 'store', 'tmp')), [])
    const captured = await capture(store, null, folderChanges(tree))
    assert.deepEqual(await store.verify(captured.manifestSha256, null, never), { ok: true, damaged: [] })
  }
  assert.ok(partial > 0, 'no kill fell into the middle of a capture')
})
