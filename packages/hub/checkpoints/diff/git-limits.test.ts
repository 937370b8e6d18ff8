import assert from 'node:assert/strict'
import { chmod, mkdir, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compare, GIT_ENV, gitApply, gitView, run } from './testing/git.ts'

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

test('what is no text, too large or at a path that git refuses is listed without a patch, and does not spoil the rest', async (t) => {
  const invalid = Buffer.from([0x66, 0xff, 0x0a])
  const { changes, before, after } = await compare(
    t,
    async (project) => {
      await writeFile(join(project, 'binary-mode'), invalid)
      await mkdir(join(project, '.git'))
    },
    async (project) => {
      await chmod(join(project, 'binary-mode'), 0o755)
      await writeFile(join(project, 'nul'), 'a\0b')
      await writeFile(join(project, 'latin1'), invalid)
      await symlink(invalid, join(project, 'link-bytes'))
      await writeFile(join(project, 'large'), 'x'.repeat(512 * 1024 + 1))
      await writeFile(join(project, 'largest'), 'x'.repeat(512 * 1024))
      await writeFile(join(project, 'text'), 'text\n')
      await writeFile(join(project, '.git/config'), 'hidden')
      for (const name of ['.GIT', 'git~1', '.git.', '.git ', '.git::$INDEX', '.g\u200cit']) {
        await mkdir(join(project, name))
        await writeFile(join(project, name, 'config'), 'x\n')
      }
      await symlink('x', join(project, '.gitmodules'))
    },
  )
  const withPatch = changes.filter(({ patch }) => patch !== null).map(({ path }) => path)
  assert.deepEqual(withPatch, ['binary-mode', 'largest', 'text'])
  assert.equal(changes.length, 3 + 4 + 6 + 1)
  assert.ok(changes.every(({ patch, added_lines, removed_lines }) => patch !== null || added_lines + removed_lines === 0))
  await gitApply(before, changes)
  const [applied, wanted] = [await gitView(before), await gitView(after)]
  for (const path of withPatch) assert.equal(applied.get(path), wanted.get(path))
})

test('patches stay within eight mebibytes in all; later files are listed without', async (t) => {
  const { changes } = await compare(
    t,
    async () => undefined,
    async (project) => {
      for (let index = 10; index < 30; index++) await writeFile(join(project, `f${index}`), `${index}`.repeat(256 * 1024))
      await writeFile(join(project, 'small'), 'small\n')
    },
  )
  const bytes = changes.reduce((sum, { patch }) => sum + Buffer.byteLength(patch ?? ''), 0)
  assert.ok(bytes > 7 * 1024 * 1024 && bytes <= 8 * 1024 * 1024, String(bytes))
  assert.equal(changes.length, 21)
  assert.notEqual(changes.at(-1)?.patch, null)
})

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
