/** Any two trees: the patch between them, given to the real git in a checkout of the one, makes the other. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { seeds } from '../../../../test/support/seeds.ts'
import { openFolderStore } from '../create-checkpoint-store.ts'
import { folderChanges } from '../testing/folder-changes.ts'
import { GIT_ENV, gitApply, gitView, run } from '../testing/git.ts'
import { capture, never, PROJECT, SECRETS } from '../testing/place.ts'
import { edited, edits, type Tree, writeTree } from '../testing/random-trees.ts'
import { diffCheckpoints } from './diff-checkpoints.ts'

const SEEDS = seeds(25)

async function tryPair(before: Tree, after: Tree, renames: boolean): Promise<void> {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-diff-'))
  try {
    const [data, older, newer] = ['data', 'older', 'newer'].map((name) => join(base, name)) as [string, string, string]
    for (const folder of [data, join(older, 'project'), join(newer, 'project')]) await mkdir(folder, { recursive: true })
    await writeTree(join(older, 'project'), before)
    await writeTree(join(newer, 'project'), after)
    const store = (await openFolderStore(data, SECRETS)).of(PROJECT)
    const a = await capture(store, null, folderChanges(older))
    const b = await capture(store, null, folderChanges(newer))
    const changes = await Array.fromAsync(
      diffCheckpoints({ store, beforeManifestSha256: a.manifestSha256, afterManifestSha256: b.manifestSha256, signal: never }, { detail: 'whole', renames }),
    )
    assert.ok(changes.every(({ patch }) => patch !== null && patch !== ''))
    const wanted = await gitView(join(newer, 'project'))
    const checkout = join(older, 'project')
    await commitAll(checkout)
    if (changes.length > 0) await gitApply(checkout, changes, ['--index'])
    assert.deepEqual(await gitView(checkout), wanted)
    assert.equal((await git(checkout, 'status', '--porcelain', '--untracked-files=all')).split('\n').filter((line) => line !== '' && line[1] !== ' ').length, 0)
    if (changes.length > 0) await gitApply(checkout, changes, ['--index', '--reverse'])
    assert.equal(await git(checkout, 'status', '--porcelain', '--untracked-files=all'), '', 'and backwards it makes the first again')
  } finally {
    await run('rm', ['-rf', base])
    await rm(base, { recursive: true, force: true })
  }
}

const git = async (folder: string, ...args: string[]): Promise<string> =>
  (await run('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'core.autocrlf=false', ...args], { cwd: folder, env: GIT_ENV })).stdout

async function commitAll(folder: string): Promise<void> {
  await git(folder, 'init', '--quiet')
  await git(folder, 'add', '--all')
  await git(folder, 'commit', '--quiet', '--allow-empty', '-m', 'before')
}

test('the patch between any two trees, applied to the work tree and the index of the one, makes the other, and backwards', async () => {
  await fc.assert(
    fc.asyncProperty(edits, edits, fc.boolean(), async (first, second, renames) => {
      const before = edited(new Map(), first)
      await tryPair(before, edited(before, second), renames)
    }),
    { seed: SEEDS.first, numRuns: SEEDS.count },
  )
})
