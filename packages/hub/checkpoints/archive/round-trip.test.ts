/** Out and in again: what comes back is the same tree, to the last bit of its manifest. */
import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { type CheckpointId, type ManifestEntry, readTar } from '@autovibe/contract'
import { anyChanges } from '@autovibe/core/checkpoints/manifest.arbitrary.ts'
import fc from 'fast-check'
import { systemRuntime } from '../../runtime.ts'
import type { ProjectStore } from '../store.ts'
import { changesOf, folderChanges } from '../testing/folder-changes.ts'
import { capture, folderEntry, type Kept, never, put, setUp } from '../testing/place.ts'
import { chooseEntries } from './choose-entries.ts'
import { type Imports, openImports } from './imports.ts'
import { treeOfTar } from './tree-of-tar.ts'
import { archiveOf } from './write-archive.ts'

type Contents = 'project' | 'all'

const archive = (store: ProjectStore, { checkpointId, manifestSha256 }: Kept, contents: Contents) =>
  archiveOf(store, checkpointId, chooseEntries(store, manifestSha256, { contents, inner_git: false }, null), never)

/** Through the disk, as an import goes. */
async function importOf(store: ProjectStore, imports: Imports, tar: AsyncIterable<Uint8Array>, contents: Contents): Promise<Kept> {
  const id: CheckpointId = systemRuntime.newId('checkpoint')
  await imports.keep(id, tar, { contents, timeMs: 3 })
  const kept = imports.read(id)
  const imported = await capture(store, null, treeOfTar(kept.tar, kept.file, { contents, timeMs: 3 }))
  await imports.drop(id)
  return imported
}

async function projectOf(store: ProjectStore, { manifestSha256 }: Kept): Promise<ManifestEntry[]> {
  const entries: ManifestEntry[] = []
  for await (const entry of store.entries(manifestSha256, 'project')) entries.push(entry)
  return entries
}

test('every tree that is exported as a whole and imported has the same manifest, and of its project the same entries', async (t) => {
  const { store, folder } = await setUp(t)
  const imports = await openImports(
    folder('imports'),
    async () => false,
    async () => ({ freeBytes: 1e12, totalBytes: 2e12, freeFiles: null }),
  )
  await fc.assert(
    fc.asyncProperty(anyChanges, async (changes) => {
      const inProject = changes.map((change) =>
        change.kind === 'remove'
          ? { kind: 'remove' as const, path: `project/${change.path}` }
          : put(`project/${change.entry.path}`, change.entry.type === 'file' ? 'x'.repeat(change.entry.size) : '', {
              ...change.entry,
              path: `project/${change.entry.path}`,
            }),
      )
      const made = await capture(store, null, changesOf(folderEntry('home'), put('home/said', 'what was said'), folderEntry('project'), ...inProject))
      assert.equal((await importOf(store, imports, archive(store, made, 'all'), 'all')).manifestSha256, made.manifestSha256)
      const project = await importOf(store, imports, archive(store, made, 'project'), 'project')
      assert.deepEqual(await projectOf(store, project), await projectOf(store, made))
      const again = await importOf(store, imports, archive(store, project, 'all'), 'all')
      assert.equal(again.manifestSha256, project.manifestSha256, 'what was imported goes out and in like any other')
    }),
    { numRuns: 40 },
  )
})

test('a real tree with large files, long names and names that are no text comes back the same', async (t) => {
  const { store, tree, folder } = await setUp(t)
  const imports = await openImports(
    folder('imports'),
    async () => false,
    async () => ({ freeBytes: 1e12, totalBytes: 2e12, freeFiles: null }),
  )
  const deep = join(tree, 'project', ...Array.from({ length: 10 }, () => 'd'.repeat(60)))
  await mkdir(deep, { recursive: true })
  await mkdir(join(tree, 'home'))
  await writeFile(join(deep, 'large'), Buffer.alloc(5 * 1024 * 1024 + 3, 'chunks of it '))
  await writeFile(Buffer.concat([Buffer.from(`${tree}/project/`), Buffer.alloc(200, 0xfe)]), 'no text')
  await symlink('s'.repeat(400), join(tree, 'project', 'link'))
  const made = await capture(store, null, folderChanges(tree))
  const back = await importOf(store, imports, archive(store, made, 'all'), 'all')
  assert.equal(back.manifestSha256, made.manifestSha256)
  assert.deepEqual(await store.verify(back.manifestSha256, null, never), { ok: true, damaged: [] })
})

test('the second copy that a hard link is has the content of the first, small or large', async (t) => {
  const { store, folder } = await setUp(t)
  const imports = await openImports(
    folder('imports'),
    async () => false,
    async () => ({ freeBytes: 1e12, totalBytes: 2e12, freeFiles: null }),
  )
  const { tarHeader, tarPadding, tarEnd } = await import('@autovibe/contract')
  async function* linked(): AsyncGenerator<Uint8Array, void> {
    for (const [name, bytes] of [
      ['small', Buffer.from('small')],
      ['large', Buffer.alloc(3 * 1024 * 1024, 'large')],
    ] as const) {
      const entry = { mode: 0o644, mtimeMs: 0 }
      yield tarHeader({ ...entry, path: Buffer.from(name), type: 'file', size: bytes.length, target: null })
      yield bytes
      yield tarPadding(bytes.length)
      yield tarHeader({ ...entry, path: Buffer.from(`${name}-too`), type: 'link', size: 0, target: Buffer.from(name) })
    }
    yield tarEnd()
  }
  const entries = await projectOf(store, await importOf(store, imports, linked(), 'project'))
  const sha256 = Object.fromEntries(entries.map((entry) => [entry.path, entry.sha256]))
  assert.equal(sha256['project/small'], sha256['project/small-too'])
  assert.equal(sha256['project/large'], sha256['project/large-too'])
})

test('an archive is read in pieces of any size', async (t) => {
  const { store } = await setUp(t)
  const made = await capture(store, null, changesOf(folderEntry('project'), put('project/a', 'one'), put('project/b', 'b'.repeat(2000))))
  const bytes: Uint8Array[] = []
  for await (const chunk of archive(store, made, 'project')) bytes.push(chunk)
  const whole = Buffer.concat(bytes)
  const names: string[] = []
  for await (const { path } of readTar(Readable.from(Array.from(whole, (byte) => Uint8Array.of(byte))))) names.push(Buffer.from(path).toString())
  assert.deepEqual(names, ['a', 'b'])
})
