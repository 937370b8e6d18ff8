import assert from 'node:assert/strict'
import { chmod, mkdir, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { readFolder } from '../testing/folder-changes.ts'
import { compare, type Edit, GIT_ENV, gitApply, gitView, run } from '../testing/git.ts'

const bytesPath = (folder: string, name: string | Uint8Array): Buffer => Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name)])

const NAMES = [
  'plain',
  'with space',
  ' leading and trailing ',
  'quo"te',
  'back\\slash',
  'tab\there',
  'new\nline',
  'é',
  '\u{1f600}',
  'a b/c d',
  '-dash',
  "apo'strophe",
  '\u0001\u007f',
  Buffer.from([0x66, 0xff, 0x20, 0xc3]),
]

test('the joined patches turn the one project into the other under git apply, for every kind of name', async (t) => {
  const { changes, before, after } = await compare(
    t,
    async (project) => {
      await mkdir(join(project, 'a b'))
      for (const name of NAMES) {
        await writeFile(bytesPath(project, name), 'one\ntwo\nthree\n')
        for (const [suffix, text] of [
          ['.empty', ''],
          ['.gone', 'x\n'],
          ['.mode', 'x\n'],
          ['.both', 'x\n'],
          ['.emptied', 'x\n'],
          ['.filled', ''],
          ['.gone-empty', ''],
        ] as const)
          await writeFile(Buffer.concat([bytesPath(project, name), Buffer.from(suffix)]), text)
      }
    },
    async (project) => {
      for (const name of NAMES) {
        const path = (suffix: string): Buffer => Buffer.concat([bytesPath(project, name), Buffer.from(suffix)])
        await writeFile(path(''), 'one\n2\nthree\n')
        await chmod(path('.mode'), 0o755)
        await chmod(path('.both'), 0o755)
        await writeFile(path('.both'), 'y\n')
        await writeFile(path('.emptied'), '')
        await writeFile(path('.filled'), 'now\n')
        await unlink(path('.gone'))
        await unlink(path('.gone-empty'))
        await writeFile(path('.new'), 'new\n')
        await writeFile(path('.new-empty'), '', { mode: 0o755 })
        await symlink(Buffer.concat([Buffer.from('to '), Buffer.from(typeof name === 'string' ? name : 'x')]), path('.link'))
      }
    },
  )
  assert.equal(changes.length, NAMES.length * 10)
  assert.ok(changes.every(({ patch }) => patch !== null && patch !== ''))
  await gitApply(before, changes)
  assert.deepEqual(await gitView(before), await gitView(after))
})

test('links, and files, links and folders that take the place of one another, apply', async (t) => {
  const { changes, before, after } = await compare(
    t,
    async (project) => {
      await mkdir(join(project, 'folder-to-file'))
      await writeFile(join(project, 'folder-to-file/inside'), 'x\n')
      await mkdir(join(project, 'folder-to-link'))
      await writeFile(join(project, 'folder-to-link/inside'), 'x\n')
      await writeFile(join(project, 'file-to-folder'), 'x\n')
      await writeFile(join(project, 'file-to-link'), 'x\n')
      await symlink('a', join(project, 'link-to-file'))
      await symlink('a', join(project, 'link'))
      await symlink('a', join(project, 'link-gone'))
    },
    async (project) => {
      for (const name of ['folder-to-file', 'folder-to-link', 'file-to-folder', 'file-to-link', 'link-to-file', 'link', 'link-gone'])
        await rm(join(project, name), { recursive: true })
      await writeFile(join(project, 'folder-to-file'), 'y\n')
      await symlink('plain', join(project, 'folder-to-link'))
      await mkdir(join(project, 'file-to-folder'))
      await writeFile(join(project, 'file-to-folder/inside'), 'y\n')
      await symlink('target', join(project, 'file-to-link'))
      await writeFile(join(project, 'link-to-file'), 'y\n', { mode: 0o755 })
      await symlink('b', join(project, 'link'))
    },
  )
  assert.deepEqual(
    changes.map(({ path, status }) => `${status} ${path}`),
    [
      'removed file-to-folder',
      'added file-to-folder/inside',
      'changed file-to-link',
      'added folder-to-file',
      'removed folder-to-file/inside',
      'added folder-to-link',
      'removed folder-to-link/inside',
      'changed link',
      'removed link-gone',
      'changed link-to-file',
    ],
  )
  await gitApply(before, changes)
  assert.deepEqual(await gitView(before), await gitView(after))
})

test('texts without a newline at their end, with carriage returns and with patch-like lines apply', async (t) => {
  const texts = [
    '',
    'a',
    'a\n',
    'a\nb',
    'a\nb\n',
    'a\r\nb\r\n',
    'a\rb',
    '--- x\n+++ y\n@@ -1 +1 @@\n',
    '\\ No newline at end of file\n',
    '\ufeffa\n',
    'a\u2028b\u0085c\n',
    'diff --git a/x b/x\n',
    '\n\n\n',
  ]
  const pairs = texts.flatMap((from) => texts.map((to) => [from, to] as const))
  const write =
    (side: 0 | 1): Edit =>
    async (project) => {
      for (const [index, pair] of pairs.entries()) await writeFile(join(project, `f${index}`), pair[side])
    }
  const { changes, before, after } = await compare(t, write(0), write(1))
  assert.equal(changes.length, texts.length * (texts.length - 1))
  await gitApply(before, changes)
  assert.deepEqual(await gitView(before), await gitView(after))
})

test('the patch between any two texts applies', async (t) => {
  const line = fc.constantFrom('a\n', 'b\n', 'c\n', '\n', 'a \r\n', '\té\n')
  const text = fc.tuple(fc.array(line, { maxLength: 60 }), fc.constantFrom('', 'end')).map(([lines, rest]) => lines.join('') + rest)
  const pairs = fc.sample(fc.tuple(text, text), { numRuns: 150, seed: 7 })
  const write =
    (side: 0 | 1): Edit =>
    async (project) => {
      for (const [index, pair] of pairs.entries()) await writeFile(join(project, `f${index}`), pair[side])
    }
  const { changes, before, after } = await compare(t, write(0), write(1))
  await gitApply(before, changes)
  assert.deepEqual(await gitView(before), await gitView(after))
})

test('the patches apply three-way onto a checkout that has moved on, and to the index', async (t) => {
  const lines = Array.from({ length: 30 }, (_, index) => `line ${index}\n`)
  const { changes, before } = await compare(
    t,
    async (project) => {
      await writeFile(join(project, 'f'), lines.join(''))
      await symlink('a', join(project, 'link'))
    },
    async (project) => {
      await writeFile(join(project, 'f'), lines.with(20, 'ours\n').join(''))
      await chmod(join(project, 'f'), 0o755)
      await unlink(join(project, 'link'))
      await symlink('b', join(project, 'link'))
    },
  )
  const git = (...args: string[]): Promise<{ stdout: string }> =>
    run('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { cwd: before, env: GIT_ENV })
  await git('init', '--quiet')
  await git('add', '.')
  await git('commit', '--quiet', '-m', 'base')
  await writeFile(join(before, 'f'), lines.with(23, 'theirs\n').toSpliced(0, 5).join(''))
  await git('commit', '--quiet', '-a', '-m', 'moved on')
  await gitApply(before, changes, ['--3way'])
  assert.deepEqual((await readFolder(before)).get('f'), `file 755  ${lines.with(20, 'ours\n').with(23, 'theirs\n').toSpliced(0, 5).join('')}`)
  assert.match((await git('diff', '--cached', '--raw')).stdout, /:120000 120000 .*link/)
})
