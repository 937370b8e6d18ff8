/** Which files count as renamed: as the real git decides where there is no choice, and none where there is too much to compare. */
import assert from 'node:assert/strict'
import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ManifestEntry } from '@autovibe/contract'
import type { EntryDifference } from '@autovibe/core/checkpoints/diff.ts'
import { changesOf } from '../testing/folder-changes.ts'
import { compare, type Edit, GIT_ENV, gitApply, gitView, run } from '../testing/git.ts'
import { capture, folderEntry, never, put, setUp } from '../testing/place.ts'
import { diffCheckpoints } from './diff-checkpoints.ts'
import { findRenames } from './find-renames.ts'

const lines = (name: string, count: number, from = 0): string => Array.from({ length: count }, (_, index) => `${name} line ${from + index}\n`).join('')

/** What `git diff -M --name-status` says of the two folders. */
async function gitStatus(before: string, after: string): Promise<string[]> {
  const git = (tree: string, ...args: string[]) => run('git', ['--git-dir', `${before}.git`, '--work-tree', tree, ...args], { cwd: tree, env: GIT_ENV })
  await run('git', ['init', '--quiet', '--bare', `${before}.git`], { env: GIT_ENV })
  await git(before, 'add', '--all', '.')
  const old = (await git(before, 'write-tree')).stdout.trim()
  await git(after, 'add', '--all', '.')
  const young = (await git(after, 'write-tree')).stdout.trim()
  return (await git(after, 'diff', '-M', '--name-status', old, young)).stdout.trim().split('\n')
}

const CASES: readonly (readonly [string, Edit, Edit])[] = [
  [
    'a file and a folder that only moved, one of them made executable',
    async (project) => {
      await mkdir(join(project, 'src'))
      for (const name of ['one', 'two', 'three']) await writeFile(join(project, 'src', name), lines(name, 20))
      await writeFile(join(project, 'logo.bin'), Buffer.from([0, 1, 2, 3, 255]))
    },
    async (project) => {
      await rename(join(project, 'src'), join(project, 'lib'))
      await rename(join(project, 'logo.bin'), join(project, 'lib/logo.bin'))
      await chmod(join(project, 'lib/two'), 0o755)
    },
  ],
  [
    'texts that moved and changed in part',
    async (project) => {
      for (const [name, count] of [
        ['little', 40],
        ['half', 40],
        ['much', 40],
      ] as const)
        await writeFile(join(project, name), lines(name, count))
    },
    async (project) => {
      for (const name of ['little', 'half', 'much']) await rm(join(project, name))
      await writeFile(join(project, 'moved-little'), lines('little', 38) + lines('new', 2))
      await writeFile(join(project, 'moved-half'), lines('half', 22) + lines('new', 18))
      await writeFile(join(project, 'moved-much'), lines('much', 12) + lines('new', 28))
    },
  ],
  [
    'a file that went where a folder came, and the other way round',
    async (project) => {
      await writeFile(join(project, 'a'), lines('a', 20))
      await mkdir(join(project, 'b'))
      await writeFile(join(project, 'b/inside'), lines('b', 20))
    },
    async (project) => {
      await rm(join(project, 'a'))
      await rm(join(project, 'b'), { recursive: true })
      await mkdir(join(project, 'a'))
      await writeFile(join(project, 'a/inside'), lines('a', 20))
      await writeFile(join(project, 'b'), lines('b', 21))
    },
  ],
  [
    'one that is there in both is not the source of another, and two that are alike take the nearest',
    async (project) => {
      await writeFile(join(project, 'stays'), lines('stays', 20))
      await writeFile(join(project, 'x1'), lines('x', 50))
      await writeFile(join(project, 'x2'), lines('x', 50, 20))
    },
    async (project) => {
      await writeFile(join(project, 'copy'), lines('stays', 20))
      for (const name of ['x1', 'x2']) await rm(join(project, name))
      await writeFile(join(project, 'y1'), lines('x', 48, 20))
      await writeFile(join(project, 'y2'), lines('x', 48))
    },
  ],
]

for (const [name, before, after] of CASES) {
  test(`git finds the same renames: ${name}`, async (t) => {
    const found = await compare(t, before, after)
    const letters = { added: 'A', removed: 'D', changed: 'M' } as const
    const ours = found.changes.map(({ status, path, renamed_from, similarity }) =>
      status === 'renamed' ? `R${String(similarity).padStart(3, '0')}\t${renamed_from}\t${path}` : `${letters[status]}\t${path}`,
    )
    assert.deepEqual(ours.sort(), (await gitStatus(found.before, found.after)).sort())
    await gitApply(found.before, found.changes)
    assert.deepEqual(await gitView(found.before), await gitView(found.after))
  })
}

test('a link that moves beneath its own old path, which git does not apply as a rename, is removed and added', async (t) => {
  const found = await compare(
    t,
    (project) => symlink('target', join(project, 'a')),
    async (project) => {
      await rm(join(project, 'a'))
      await mkdir(join(project, 'a'))
      await symlink('target', join(project, 'a/b'))
    },
  )
  assert.deepEqual(
    found.changes.map(({ status, path }) => `${status} ${path}`),
    ['removed a', 'added a/b'],
  )
  await gitApply(found.before, found.changes)
  assert.deepEqual(await gitView(found.before), await gitView(found.after))
})

test('without renames each is one that went and one that came, and the patch makes the same', async (t) => {
  const edit: Edit = async (project) => rename(join(project, 'a'), join(project, 'b'))
  const found = await compare(t, (project) => writeFile(join(project, 'a'), lines('a', 9)), edit, { detail: 'whole', renames: false })
  assert.deepEqual(
    found.changes.map(({ status, path }) => `${status} ${path}`),
    ['removed a', 'added b'],
  )
  await gitApply(found.before, found.changes)
  assert.deepEqual(await gitView(found.before), await gitView(found.after))
})

test('of a file that is only moved nothing is read, and its patch has no content', async (t) => {
  const { store } = await setUp(t)
  const text = lines('a', 2000)
  const a = await capture(store, null, changesOf(folderEntry('project'), put('project/a', text), put('project/b', '\0')))
  const b = await capture(
    store,
    null,
    changesOf(folderEntry('project'), folderEntry('project/moved'), put('project/moved/a', text), put('project/moved/b', '\0')),
  )
  const closed = { ...store, open: () => Promise.reject(new Error('nobody should read a content')) }
  const trees = { store: closed, beforeManifestSha256: a.manifestSha256, afterManifestSha256: b.manifestSha256, signal: never }
  const changes = await Array.fromAsync(diffCheckpoints(trees, { detail: 'whole', renames: true }))
  assert.deepEqual(
    changes.map(({ patch }) => patch?.split('\n').slice(1, 2)),
    [['similarity index 100%'], ['similarity index 100%']],
  )
})

const entry = (path: string, sha256: string, size: number): ManifestEntry => ({
  path: `project/${path}`,
  type: 'file',
  mode: 0o644,
  size,
  mtime_ms: 0,
  sha256,
  link_target: null,
})

/** Trees that exist only as what differs. */
async function* moved(count: number, size: number, keepNames: boolean): AsyncGenerator<EntryDifference, void> {
  for (let index = 0; index < count; index++) {
    const [old, young] = [`a/${index}`, `b/${keepNames ? index : `x${index}`}`]
    const hash = (side: string): string => `${side}${String(index).padStart(63, '0')}`
    yield { path: old, status: 'removed', before: entry(old, hash('a'), size), after: null }
    yield { path: young, status: 'added', before: null, after: entry(young, hash('b'), size) }
  }
}

test('a hundred thousand files that went and as many that came are neither held nor read: each is shown as removed and added', async (t) => {
  const { store } = await setUp(t)
  const closed = { ...store, open: () => Promise.reject(new Error('nobody should read a content')) }
  const { byPath, sources, isLimited } = await findRenames(closed, moved(100_000, 100, true), never)
  assert.deepEqual([byPath.size, sources.size, isLimited], [0, 0, true])
})

test('too many pairs to compare are not compared, and what is read is bounded', async (t) => {
  const { store } = await setUp(t)
  let readBytes = 0
  const counting = {
    ...store,
    open: async (sha256: string) => {
      readBytes += 512 * 1024
      const { Readable } = await import('node:stream')
      return Readable.from([Buffer.alloc(512 * 1024, `${sha256}\n`)], { objectMode: false })
    },
  }
  assert.deepEqual((await findRenames(counting, moved(1_001, 100, false), never)).isLimited, true)
  assert.equal(readBytes, 0)
  assert.deepEqual((await findRenames(counting, moved(900, 512 * 1024, true), never)).isLimited, true)
  assert.ok(readBytes > 0 && readBytes <= 64 * 1024 * 1024, String(readBytes))
})
