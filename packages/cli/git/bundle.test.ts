import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { SOURCE_REF } from '@autovibe/contract'
import { sourceCommit, writeBundle } from './bundle.ts'
import { findLeftovers, openRepository } from './repository.ts'
import { makeScratch } from './scratch.ts'
import { makeRepository } from './testing.ts'

/** Imports a checkout as a machine would, and hands over what arrives. */
async function roundTrip(
  path: string,
  includeDirty: boolean,
  look: (clone: string, source: Awaited<ReturnType<typeof sourceCommit>>) => void | Promise<void>,
): Promise<void> {
  const repository = await openRepository(path)
  await using scratch = await makeScratch(repository)
  const source = await sourceCommit(repository, scratch, includeDirty)
  const bundle = await writeBundle(scratch, source)
  const folder = mkdtempSync(join(tmpdir(), 'autovibe-test-clone-'))
  try {
    const clone = join(folder, 'clone')
    const run = (args: string[], cwd: string) =>
      execFileSync('git', args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null' } })
        .toString()
        .trim()
    run(['init', '--quiet', clone], folder)
    run(['fetch', '--quiet', bundle.path, SOURCE_REF], clone)
    assert.equal(run(['rev-parse', 'FETCH_HEAD'], clone), source.commit)
    run(['checkout', '--quiet', '--detach', 'FETCH_HEAD'], clone)
    run(['fsck', '--strict'], clone)
    await look(clone, source)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('HEAD arrives under its own commit, with its history, and the repository is not written to', async () => {
  using repository = makeRepository({ 'a.txt': 'one', 'run.sh': { text: '#!/bin/sh\n', executable: true }, link: { link: 'a.txt' }, 'ä b/ü.txt': 'x' })
  const head = repository.commit({ 'a.txt': 'two' })
  const before = repository.gitFolderState()
  await roundTrip(repository.path, false, (clone, source) => {
    assert.deepEqual(source, { commit: head, baseCommit: head, branch: 'main', dirty: false })
    assert.equal(readFileSync(join(clone, 'a.txt'), 'utf8'), 'two')
    assert.ok(statSync(join(clone, 'run.sh')).mode & 0o100)
    assert.ok(existsSync(join(clone, 'ä b/ü.txt')))
  })
  assert.equal(repository.gitFolderState(), before)
})

test('uncommitted changes stay behind unless asked for, and are named', async () => {
  using repository = makeRepository()
  repository.write({ 'a.txt': 'changed', 'new file.txt': 'new' })
  assert.deepEqual([...(await findLeftovers(await openRepository(repository.path))).uncommitted].sort(), ['a.txt', 'new file.txt'])
  await roundTrip(repository.path, false, (clone, source) => {
    assert.equal(source.dirty, false)
    assert.equal(readFileSync(join(clone, 'a.txt'), 'utf8'), 'one\ntwo\nthree\n')
  })
})

test('with --include-dirty everything arrives that git would add, and neither index, objects nor refs are written', async () => {
  using repository = makeRepository({ 'a.txt': 'a', 'b.txt': 'b', 'c.txt': 'c', '.gitignore': 'ignored\n' })
  repository.write({ 'a.txt': 'staged' })
  repository.git('add', 'a.txt')
  repository.write({ 'a.txt': 'staged, then changed', 'dir/new.txt': 'new', ignored: 'secret' })
  repository.remove('b.txt')
  chmodSync(join(repository.path, 'c.txt'), 0o755)
  const before = repository.gitFolderState()
  const tree = repository.workTreeState()
  await roundTrip(repository.path, true, (clone, source) => {
    assert.equal(source.dirty, true)
    assert.notEqual(source.commit, source.baseCommit)
    assert.equal(readFileSync(join(clone, 'a.txt'), 'utf8'), 'staged, then changed')
    assert.equal(readFileSync(join(clone, 'dir/new.txt'), 'utf8'), 'new')
    assert.equal(existsSync(join(clone, 'b.txt')), false)
    assert.equal(existsSync(join(clone, 'ignored')), false)
    assert.ok(statSync(join(clone, 'c.txt')).mode & 0o100)
  })
  assert.equal(repository.gitFolderState(), before)
  assert.equal(repository.workTreeState(), tree)
})

test('the same uncommitted files give the same commit, so that they are not imported twice', async () => {
  using repository = makeRepository()
  repository.write({ 'a.txt': 'changed' })
  const commits: string[] = []
  for (let round = 0; round < 2; round++) await roundTrip(repository.path, true, (_clone, { commit }) => void commits.push(commit))
  assert.equal(commits[0], commits[1])
})

test('a clean checkout with --include-dirty is HEAD itself', async () => {
  using repository = makeRepository()
  await roundTrip(repository.path, true, (_clone, source) => assert.deepEqual([source.dirty, source.commit], [false, source.baseCommit]))
})

test('an unfinished merge is imported as it lies there, and stays unfinished', async () => {
  using repository = makeRepository({ 'a.txt': 'base\n' })
  repository.git('checkout', '--quiet', '-b', 'other')
  repository.commit({ 'a.txt': 'theirs\n' })
  repository.git('checkout', '--quiet', 'main')
  repository.commit({ 'a.txt': 'ours\n' })
  assert.throws(() => repository.git('merge', 'other'))
  const before = repository.gitFolderState()
  await roundTrip(repository.path, true, (clone) => assert.match(readFileSync(join(clone, 'a.txt'), 'utf8'), /<<<<<<< /))
  assert.equal(repository.gitFolderState(), before)
})

test('hooks, filters and monitors of the repository are not run', async () => {
  using repository = makeRepository({ 'a.txt': 'a', '.gitattributes': '*.txt filter=lfs\n' })
  const witness = join(repository.path, 'witness')
  const trap = `touch '${witness}'`
  for (const hook of ['post-checkout', 'pre-commit', 'reference-transaction', 'post-index-change', 'fsmonitor-watchman']) {
    const path = join(repository.path, '.git/hooks', hook)
    mkdirSync(join(repository.path, '.git/hooks'), { recursive: true })
    writeFileSync(path, `#!/bin/sh\n${trap}\n`, { mode: 0o755 })
  }
  repository.git('config', 'core.fsmonitor', join(repository.path, '.git/hooks/fsmonitor-watchman'))
  repository.git('config', 'filter.lfs.clean', `sh -c "${trap}"`)
  repository.git('config', 'filter.lfs.process', `sh -c "${trap}"`)
  rmSync(witness, { force: true })
  writeFileSync(join(repository.path, 'a.txt'), 'b')
  await findLeftovers(await openRepository(repository.path))
  await roundTrip(repository.path, true, () => undefined)
  assert.equal(existsSync(witness), false)
})

test('variables of a git that calls us do not lead us to another repository', async () => {
  using repository = makeRepository({ 'a.txt': 'right' })
  using other = makeRepository({ 'a.txt': 'wrong' })
  process.env['GIT_DIR'] = join(other.path, '.git')
  process.env['GIT_INDEX_FILE'] = join(other.path, '.git/index')
  try {
    const { root, head } = await openRepository(repository.path)
    delete process.env['GIT_DIR']
    delete process.env['GIT_INDEX_FILE']
    assert.equal(root, repository.path)
    assert.equal(head, repository.git('rev-parse', 'HEAD'))
  } finally {
    delete process.env['GIT_DIR']
    delete process.env['GIT_INDEX_FILE']
  }
})

test('a shallow clone is imported as one commit without history', async () => {
  using repository = makeRepository()
  repository.commit({ 'a.txt': 'second' })
  const folder = mkdtempSync(join(tmpdir(), 'autovibe-test-shallow-'))
  try {
    execFileSync('git', ['clone', '--quiet', '--depth=1', `file://${repository.path}`, join(folder, 'c')], { stdio: 'ignore' })
    await roundTrip(join(folder, 'c'), false, (clone, source) => {
      assert.equal(source.baseCommit, repository.git('rev-parse', 'HEAD'))
      assert.equal(source.dirty, false)
      assert.equal(readFileSync(join(clone, 'a.txt'), 'utf8'), 'second')
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a linked work tree and a detached HEAD are imported like any other checkout', async () => {
  using repository = makeRepository()
  const linked = `${repository.path}-linked`
  repository.git('worktree', 'add', '--quiet', '--detach', linked)
  writeFileSync(join(linked, 'a.txt'), 'in the linked tree')
  await roundTrip(linked, true, (clone, source) => {
    assert.equal(source.branch, null)
    assert.equal(readFileSync(join(clone, 'a.txt'), 'utf8'), 'in the linked tree')
  })
})

test('a folder within a checkout stands for the whole checkout', async () => {
  using repository = makeRepository({ 'deep/er/a.txt': 'a', 'b.txt': 'b' })
  assert.equal((await openRepository(join(repository.path, 'deep/er'))).root, repository.path)
  await roundTrip(join(repository.path, 'deep'), true, (clone) => assert.ok(existsSync(join(clone, 'b.txt'))))
})

test('submodules and files in Git LFS are named as not included', async () => {
  using inner = makeRepository()
  using repository = makeRepository({ 'a.bin': 'version https://git-lfs.github.com/spec/v1\n', '.gitattributes': '*.bin filter=lfs\n' })
  repository.git('-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', inner.path, 'sub')
  repository.commit({})
  const leftovers = await findLeftovers(await openRepository(repository.path))
  assert.deepEqual([leftovers.submodules, leftovers.lfs], [['sub'], ['a.bin']])
})

const codeOf = (path: string) =>
  openRepository(path).then(
    () => 'ok',
    (error: { code: string; fix?: string }) => `${error.code}${error.fix === undefined ? ' without a fix' : ''}`,
  )

test('a missing folder, a file, a plain folder, a bare and an empty repository are refused with a fix', async () => {
  using empty = makeRepository({}, { empty: true })
  using repository = makeRepository()
  const folder = mkdtempSync(join(tmpdir(), 'autovibe-test-plain-'))
  try {
    execFileSync('git', ['init', '--quiet', '--bare', join(folder, 'bare.git')])
    mkdirSync(join(folder, 'plain'))
    const places = [
      join(folder, 'missing'),
      join(repository.path, 'a.txt'),
      join(folder, 'plain'),
      join(folder, 'bare.git'),
      join(repository.path, '.git'),
      empty.path,
    ]
    assert.deepEqual(
      await Promise.all(places.map(codeOf)),
      places.map(() => 'project.source_invalid'),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
