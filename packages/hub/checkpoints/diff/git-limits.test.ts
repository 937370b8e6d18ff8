import assert from 'node:assert/strict'
import { chmod, mkdir, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { changesOf } from '../testing/folder-changes.ts'
import { compare, type Edit, GIT_ENV, gitApply, gitView, run } from '../testing/git.ts'
import { capture, folderEntry, never, put, setUp } from '../testing/place.ts'
import { diffCheckpoints } from './diff-checkpoints.ts'

test('headers, modes and blob ids are those that git itself writes', async (t) => {
  const { changes, before, after } = await compare(
    t,
    async (project) => {
      for (const name of ['é', 'sp ace', 'mode', 'gone']) await writeFile(join(project, name), 'x\n')
    },
    async (project) => {
      await writeFile(join(project, 'é'), 'y\n')
      await writeFile(join(project, 'sp ace'), 'y')
      await chmod(join(project, 'mode'), 0o755)
      await unlink(join(project, 'gone'))
      await writeFile(join(project, 'empty'), '', { mode: 0o755 })
      await symlink('to', join(project, 'link'))
    },
  )
  const git = (...args: string[]): Promise<{ stdout: string }> =>
    run('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', '--git-dir', join(before, '.git'), ...args], { cwd: after, env: GIT_ENV })
  await git('init', '--quiet')
  await run('git', ['add', '.'], { cwd: before, env: GIT_ENV })
  await git('--work-tree', before, 'commit', '--quiet', '-m', 'before')
  await git('--work-tree', after, 'add', '--all', '.')
  const { stdout } = await git('diff', '--cached', '--full-index', '--no-renames')
  const header = (text: string): string[] =>
    text
      .split('\n')
      .filter((one) => /^(diff|old|new|deleted|index|---|\+\+\+|[-+\\])/.test(one))
      .sort()
  assert.deepEqual(header(changes.map(({ patch }) => patch).join('')), header(stdout))
})

const invalid = Buffer.from([0x66, 0xff, 0x0a])

const oddBefore: Edit = async (project) => {
  await writeFile(join(project, 'binary-mode'), invalid)
  await writeFile(join(project, 'binary-gone'), invalid)
  await writeFile(join(project, 'binary-both'), Buffer.alloc(3000, 'x\0'))
  await writeFile(join(project, 'text-to-binary'), 'text\n', { mode: 0o755 })
  await writeFile(join(project, 'binary-to-link'), invalid)
  await mkdir(join(project, '.git'))
}
const oddAfter: Edit = async (project) => {
  await chmod(join(project, 'binary-mode'), 0o755)
  await unlink(join(project, 'binary-gone'))
  await chmod(join(project, 'binary-both'), 0o755)
  await writeFile(join(project, 'binary-both'), Buffer.alloc(3001, 'x\0'))
  await writeFile(join(project, 'text-to-binary'), 'a\0b')
  await unlink(join(project, 'binary-to-link'))
  await symlink('target', join(project, 'binary-to-link'))
  await writeFile(join(project, 'nul'), 'a\0b')
  await writeFile(join(project, 'latin1'), Buffer.concat([Buffer.alloc(8000, 'text '), invalid]))
  await symlink(invalid, join(project, 'link-bytes'))
  await writeFile(join(project, 'large-text'), 'x'.repeat(512 * 1024 + 1))
  await writeFile(join(project, 'largest-text'), 'x'.repeat(512 * 1024))
  await writeFile(join(project, 'too-large'), Buffer.alloc(8 * 1024 * 1024 + 1))
  await writeFile(join(project, 'largest'), Buffer.alloc(8 * 1024 * 1024, 'some bytes\0'))
  await writeFile(join(project, 'text'), 'text\n')
  await writeFile(join(project, '.git/config'), 'hidden')
  for (const name of ['.GIT', 'git~1', '.git.', '.git ', '.git::$INDEX', '.g\u200cit']) {
    await mkdir(join(project, name))
    await writeFile(join(project, name, 'config'), 'x\n')
  }
  await symlink('x', join(project, '.gitmodules'))
}

test('bytes, large texts and everything else apply too; what is too large or at a path that git refuses is named with the reason, and does not spoil the rest', async (t) => {
  const { changes, before, after } = await compare(t, oddBefore, oddAfter)
  const reasons = Map.groupBy(changes, ({ no_patch }) => no_patch)
  assert.deepEqual(
    reasons.get('too_large')?.map(({ path }) => path),
    ['too-large'],
  )
  assert.equal(reasons.get('refused_by_git')?.length, 7)
  const withPatch = changes.filter(({ patch }) => patch !== null && patch !== '').map(({ path }) => path)
  assert.equal(withPatch.length, 12)
  assert.deepEqual(
    reasons.get(null)?.map(({ path }) => path),
    withPatch,
  )
  assert.deepEqual(
    changes.filter(({ binary }) => binary).map(({ path }) => path),
    ['binary-both', 'binary-gone', 'binary-to-link', 'large-text', 'largest', 'latin1', 'link-bytes', 'nul', 'text-to-binary', 'too-large'],
  )
  await gitApply(before, changes)
  const [applied, wanted] = [await gitView(before), await gitView(after)]
  for (const path of withPatch) assert.equal(applied.get(path), wanted.get(path), path)
  assert.equal(applied.has('binary-gone'), false)
})

test('what is not asked for is not made: bytes without their patch, lines without any, names without a content read', async (t) => {
  const files = async (detail: 'text' | 'lines' | 'names') => (await compare(t, oddBefore, oddAfter, { detail, renames: true })).changes
  const [text, lines, names] = [await files('text'), await files('lines'), await files('names')]
  const shown = (changes: typeof text) => changes.filter(({ patch }) => patch !== null).map(({ path }) => path)
  assert.deepEqual(shown(text), ['binary-mode', 'largest-text', 'text'])
  assert.deepEqual([shown(lines), shown(names)], [[], []])
  assert.equal(lines.find(({ path }) => path === 'text')?.added_lines, 1)
  assert.ok(names.every(({ added_lines, removed_lines, no_patch }) => added_lines + removed_lines === 0 && no_patch !== null))
  assert.deepEqual(
    text.filter(({ no_patch }) => no_patch === 'binary').map(({ path }) => path),
    ['binary-both', 'binary-gone', 'binary-to-link', 'large-text', 'largest', 'latin1', 'link-bytes', 'nul', 'text-to-binary'],
  )
})

for (const [what, chars, aheadFiles] of [
  ['large', 200 * 1024, 0],
  ['small', 1000, 8],
] as const) {
  test(`patches come one after the other: of ${what} files, no more than ${aheadFiles} are read before their turn`, async (t) => {
    const { store } = await setUp(t)
    const files = Array.from({ length: 30 }, (_, index) => put(`project/f${index + 10}`, `${index + 10}`.repeat(chars)))
    const a = await capture(store, null, changesOf(folderEntry('project')))
    const b = await capture(store, null, changesOf(folderEntry('project'), ...files))
    let opened = 0
    const counting = {
      ...store,
      open: (sha256: string) => {
        opened++
        return store.open(sha256)
      },
    }
    const trees = { store: counting, beforeManifestSha256: a.manifestSha256, afterManifestSha256: b.manifestSha256, signal: never }
    let taken = 0
    let patchBytes = 0
    for await (const { patch } of diffCheckpoints(trees, { detail: 'whole', renames: true })) {
      taken++
      patchBytes += Buffer.byteLength(patch ?? '')
      assert.ok(opened <= taken + aheadFiles, `${opened} were read when ${taken} were taken`)
    }
    assert.deepEqual([taken, opened], [30, 30])
    assert.ok(patchBytes > 30 * 2 * chars)
  })
}

test('permissions that git does not know are listed as a change with nothing to apply', async (t) => {
  const { changes } = await compare(
    t,
    (project) => writeFile(join(project, 'f'), 'x', { mode: 0o644 }),
    (project) => chmod(join(project, 'f'), 0o600),
  )
  assert.deepEqual(
    changes.map(({ path, status, patch, before, after }) => [path, status, patch, before?.mode, after?.mode]),
    [['f', 'changed', '', 0o644, 0o600]],
  )
})
