import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { zstdDecompressSync } from 'node:zlib'
import { systemRuntime } from '../runtime.ts'
import { createCheckpointStore } from './directory-store.ts'
import { folderChanges } from './testing/folder-changes.ts'

const CHILD = fileURLToPath(new URL('./testing/capture-child.ts', import.meta.url))
const FILES = 120
const never = new AbortController().signal

/** Ends the capturing process with SIGKILL once it has taken up so many changes; it may have finished before the signal arrives. */
async function captureAndKill(dataDir: string, tree: string, afterChanges: number): Promise<void> {
  const child = spawn(process.execPath, [CHILD, dataDir, tree], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  let changes = 0
  for await (const chunk of child.stdout) {
    changes += String(chunk).split('change\n').length - 1
    if (changes >= afterChanges) child.kill('SIGKILL')
  }
  await ended
  assert.ok(changes >= afterChanges, `only ${changes} changes were seen`)
}

/** Every file with a final name must hold what its name says; returns how many there are. */
async function checkFinalNames(folder: string): Promise<number> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((one) => one.isFile())
  for (const file of files) {
    const bytes = await readFile(join(file.parentPath, file.name))
    const [sha256, form] = file.name.split('.')
    assert.equal(
      createHash('sha256')
        .update(form === 'zst' ? zstdDecompressSync(bytes) : bytes)
        .digest('hex'),
      sha256,
    )
  }
  return files.length
}

test('a capture that is killed anywhere leaves no half content under a final name, and a store that takes the same capture again', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-crash-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  const tree = join(base, 'tree')
  await mkdir(tree)
  for (let index = 0; index < FILES; index++)
    await writeFile(join(tree, `f${index}`), index % 30 === 0 ? systemRuntime.randomBytes(1_500_000) : `file ${index}\n`.repeat(index * 50))
  let partial = 0
  for (const afterChanges of [1, 7, 30, 70, FILES]) {
    const dataDir = join(base, `data-${afterChanges}`)
    await mkdir(dataDir)
    await captureAndKill(dataDir, tree, afterChanges)
    const objects = await checkFinalNames(join(dataDir, 'store', 'objects'))
    if (objects > 0 && objects < FILES) partial++
    await checkFinalNames(join(dataDir, 'store', 'manifests'))
    const store = await createCheckpointStore({ dataDir, runtime: systemRuntime })
    assert.deepEqual(await readdir(join(dataDir, 'store', 'tmp')), [])
    const captured = await store.capture(null, folderChanges(tree), never)
    assert.deepEqual(await store.verify(captured.manifestSha256, null, never), { ok: true, damaged: [] })
  }
  assert.ok(partial > 0, 'no kill fell into the middle of a capture')
})
