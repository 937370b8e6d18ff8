/** Checkpoints that become branches of real repositories, and trees that no repository should take. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Checkpoint, tarEnd, tarHeader, tarPadding, type WritableEntry } from '@autovibe/contract'
import { applyToBranch } from '../branch.ts'
import { openRepository } from '../repository.ts'
import { AFTER, makeDiff, makeRepository, type TestRepository } from '../testing.ts'
import { exportBranch } from './export-branch.ts'

const { signal } = new AbortController()
const CHECKPOINT = {
  id: AFTER,
  machine_name: 'brave-fox',
  run_id: 'run_00000000000000000000000001',
  label: 'all\ngreen\u001b[31m',
  trigger: 'demand',
  created_at: '2026-01-02T03:04:05.000Z',
} as unknown as Checkpoint

type Given = string | { readonly link: string } | { readonly run: string } | null

/** A tar of these; null is an empty folder. */
async function* tarOf(files: Readonly<Record<string, Given>>): AsyncGenerator<Uint8Array, void> {
  for (const [name, given] of Object.entries(files)) {
    const base = { path: Buffer.from(name, 'latin1'), mtimeMs: 0, size: 0, target: null }
    const text = typeof given === 'string' ? given : given !== null && 'run' in given ? given.run : ''
    const entry: WritableEntry =
      given === null
        ? { ...base, type: 'directory', mode: 0o755 }
        : typeof given === 'object' && 'link' in given
          ? { ...base, type: 'symlink', mode: 0o777, target: Buffer.from(given.link) }
          : { ...base, type: 'file', mode: typeof given === 'string' ? 0o644 : 0o755, size: Buffer.byteLength(text) }
    yield tarHeader(entry)
    yield Buffer.from(text)
    yield tarPadding(Buffer.byteLength(text))
  }
  yield tarEnd()
}

async function exported(
  repository: TestRepository,
  files: Readonly<Record<string, Given>>,
  options: { source?: string | null; base?: string; branch?: string; force?: boolean } = {},
) {
  const archive = { tar: tarOf(files), sourceCommit: options.source ?? null, sourceBaseCommit: options.base ?? options.source ?? null }
  const { branch = 'out', force = false } = options
  return exportBranch(await openRepository(repository.path), CHECKPOINT, async () => archive, { branch, force, signal })
}

test('a branch holds exactly the files, on the commit that was imported, and nothing else of the repository has changed', async () => {
  using repository = makeRepository({ 'a.txt': 'one\n', 'gone.txt': 'x', 'dir/kept': 'k' })
  const base = repository.git('rev-parse', 'HEAD')
  repository.git('config', 'core.autocrlf', 'true')
  repository.git('config', 'filter.bad.clean', 'touch filtered; cat')
  writeFileSync(join(repository.path, '.git/info/attributes'), '* filter=bad\n')
  for (const hook of ['post-commit', 'reference-transaction', 'pre-commit'])
    writeFileSync(join(repository.path, '.git/hooks', hook), '#!/bin/sh\ntouch ran\n', { mode: 0o755 })
  const before = repository.workTreeState()
  const index = repository.git('ls-files', '--stage')
  const result = await exported(
    repository,
    {
      'a.txt': 'two\r\n',
      dir: null,
      'dir/kept': 'k',
      'run.sh': { run: '#!/bin/sh' },
      link: { link: 'a.txt' },
      '\xff\n "\\': 'odd',
      empty: '',
      'new folder': null,
    },
    { source: base },
  )
  assert.equal(repository.git('rev-parse', 'out'), result.commit)
  assert.deepEqual([result.parent, result.files], [base, 6])
  const tree = repository
    .git('ls-tree', '-r', '-z', 'out')
    .split('\0')
    .map((line) => line.replace(/^(\d+) blob [0-9a-f]+\t/, '$1 '))
  assert.deepEqual(tree.slice(0, 5), ['100644 a.txt', '100644 dir/kept', '100644 empty', '120000 link', '100755 run.sh'])
  assert.equal(execFileSync('git', ['ls-tree', '-z', '--name-only', 'out'], { cwd: repository.path }).toString('latin1').split('\0').at(-2), '\xff\n "\\')
  assert.equal(repository.git('show', '--format=', '--name-status', '--no-renames', 'out').includes('D\tgone.txt'), true)
  assert.equal(repository.git('cat-file', 'blob', 'out:a.txt'), 'two')
  assert.equal(repository.git('cat-file', '-s', 'out:a.txt'), '5')
  assert.equal(
    repository.git('show', '--no-patch', '--format=%an <%ae> %at%n%B', 'out'),
    `autovibe <autovibe@localhost> 1767323045\nall green [31m\n\nAutovibe-Checkpoint: ${AFTER}\nAutovibe-Machine: brave-fox\nAutovibe-Run: run_00000000000000000000000001`,
  )
  assert.equal(repository.workTreeState(), before)
  assert.equal(repository.git('ls-files', '--stage'), index)
  repository.git('fsck', '--strict', '--full')
  const again = await exported(repository, { 'a.txt': 'two\r\n' }, { source: base, branch: 'again' })
  assert.equal(
    (await exported(repository, { 'a.txt': 'two\r\n' }, { source: base, branch: 'once-more' })).commit,
    again.commit,
    'the same files make the same commit',
  )
})

test('its tree is the one that apply makes of the same change', async () => {
  const files = { 'a.txt': 'one\ntwo\n', 'dir/b.txt': 'b\n', 'gone.txt': 'g\n' }
  const after = { 'a.txt': 'one\n2\n', 'dir/b.txt': 'b\n', 'dir/new.txt': 'n\n' }
  using repository = makeRepository(files)
  const base = repository.git('rev-parse', 'HEAD')
  const { diff, read } = makeDiff(base, files, after)
  await applyToBranch(await openRepository(repository.path), diff, read, { branch: 'applied', message: 'm' })
  await exported(repository, after, { source: base })
  assert.equal(repository.git('rev-parse', 'out^{tree}'), repository.git('rev-parse', 'applied^{tree}'))
})

test('without the imported commit it stands alone; with uncommitted changes imported, on the commit beneath', async () => {
  using repository = makeRepository()
  const head = repository.git('rev-parse', 'HEAD')
  const alone = await exported(repository, { a: '1' }, { source: 'd'.repeat(40) })
  assert.equal(alone.parent, null)
  assert.equal(repository.git('rev-list', '--count', 'out'), '1')
  assert.equal((await exported(repository, { a: '1' }, { source: 'd'.repeat(40), base: head, branch: 'on-base' })).parent, head)
})

test('a branch that is there is left alone, moved by force, but never from under a work tree', async () => {
  using repository = makeRepository()
  await exported(repository, { a: '1' })
  await assert.rejects(exported(repository, { a: '2' }), { code: 'conflict.name_taken' })
  const moved = await exported(repository, { a: '2' }, { force: true })
  assert.equal(repository.git('rev-parse', 'out'), moved.commit)
  const branch = repository.git('branch', '--show-current')
  await assert.rejects(exported(repository, { a: '3' }, { branch, force: true }), { code: 'conflict.state' })
  await assert.rejects(exported(repository, { a: '3' }, { branch: 'out/deeper' }), { code: 'conflict.name_taken' })
  for (const name of ['-x', 'a..b', 'HEAD', 'a b']) await assert.rejects(exported(repository, { a: '3' }, { branch: name }), { code: 'request.invalid' })
})

test('what git would take for its own is refused by name, and the repository is as it was', async () => {
  using repository = makeRepository()
  const before = repository.gitFolderState()
  const refusals: [string, Given][] = [
    ['sub/.git', 'gitdir: elsewhere'],
    ['sub/.git/config', '[core]'],
    ['.GIT/config', '[core]'],
    ['GIT~1/config', '[core]'],
    ['.git. /config', '[core]'],
    ['.g\xe2\x80\x8cit/config', '[core]'],
    ['a/../b', 'x'],
    ['./a', 'x'],
    ['a//b', 'x'],
    ['.gitmodules', { link: 'a' }],
    ['.GITMODULES', { link: 'a' }],
    ['gitmod~1', { link: 'a' }],
  ]
  for (const [path, given] of refusals) {
    const shown = Buffer.from(path, 'latin1').toString()
    await assert.rejects(
      exported(repository, { fine: '1', [path]: given }),
      (error: Error & { code?: string }) => error.code === 'export.refused' && error.message.includes(JSON.stringify(shown)),
      shown,
    )
  }
  for (const modules of [
    '[submodule "a"]\n\tpath = a\n\turl = -u./run\n',
    '[submodule "../x"]\n\tpath = a\n\turl = https://a\n',
    '[submodule "a"]\n\tpath = a\n\turl = https://a\n\tupdate = !touch ran\n',
  ])
    await assert.rejects(exported(repository, { '.gitmodules': modules }), { code: 'export.refused', message: /^"\.gitmodules" .*git refuses it/ }, modules)
  assert.equal(repository.gitFolderState(), before)
})

test('a submodule stays as it was while its folder is empty, and is refused when there is something in it', async () => {
  using repository = makeRepository()
  const inner = repository.git('rev-parse', 'HEAD')
  repository.git('update-index', '--add', '--cacheinfo', `160000,${inner},lib`)
  const source = repository.commit({ '.gitmodules': '[submodule "lib"]\n\tpath = lib\n\turl = https://example.invalid/lib\n' })
  repository.git('update-index', '--add', '--cacheinfo', `160000,${inner},lib`)
  repository.git('commit', '--quiet', '--amend', '--no-edit', '--allow-empty')
  const base = repository.git('rev-parse', 'HEAD')
  assert.notEqual(base, source)
  await exported(repository, { a: '1', lib: null }, { source: base })
  assert.match(repository.git('ls-tree', 'out', 'lib'), new RegExp(`^160000 commit ${inner}`))
  await assert.rejects(exported(repository, { lib: null, 'lib/file': 'x' }, { source: base, branch: 'full' }), {
    code: 'export.refused',
    message: /"lib\/file".*submodule/,
  })
  await exported(repository, { a: '1' }, { source: base, branch: 'without' })
  assert.equal(repository.git('ls-tree', 'without', 'lib'), '')
})

test('an archive that breaks off makes no branch', async () => {
  using repository = makeRepository()
  const before = repository.gitFolderState()
  async function* broken(): AsyncGenerator<Uint8Array, void> {
    yield tarHeader({ path: Buffer.from('a'), type: 'file', mode: 0o644, size: 5000, mtimeMs: 0, target: null })
    throw new Error('the line is dead')
  }
  const archive = { tar: broken(), sourceCommit: null, sourceBaseCommit: null }
  await assert.rejects(
    exportBranch(await openRepository(repository.path), CHECKPOINT, async () => archive, { branch: 'out', force: false, signal }),
    { message: 'the line is dead' },
  )
  assert.equal(repository.gitFolderState(), before)
})
