import assert from 'node:assert/strict'
import test from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { applyToBranch } from './branch.ts'
import { openRepository } from './repository.ts'
import { type Files, makeDiff, makeRepository, type TestRepository } from './testing.ts'

async function branch(repository: TestRepository, before: Files, after: Files, name = 'autovibe/fix', base = repository.git('rev-parse', 'HEAD')) {
  const { diff, read } = makeDiff(base, before, after)
  return applyToBranch(await openRepository(repository.path), diff, read, { branch: name, message: 'The message\n\nAutovibe-Checkpoint: x\n' })
}

test('a branch holds one commit of the changes on the imported commit, and the work tree and index stay as they are', async () => {
  const before: Files = { 'a.txt': 'a', 'gone/x': 'x', 'same.txt': 'same', f: 'file' }
  using repository = makeRepository(before)
  const base = repository.git('rev-parse', 'HEAD')
  repository.commit({ 'later.txt': 'a later commit' })
  repository.write({ 'a.txt': 'mine, uncommitted' })
  const [tree, status] = [repository.workTreeState(), repository.git('status', '--porcelain')]
  const after: Files = {
    'a.txt': 'theirs',
    'same.txt': 'same',
    'run.sh': { text: '#!/bin/sh\n', executable: true },
    link: { link: 'a.txt' },
    'f/inner': 'now a folder',
    gone: 'now a file',
  }
  const applied = await branch(repository, before, after, 'autovibe/fix', base)
  assert.equal(repository.git('rev-parse', 'autovibe/fix'), applied.commit)
  assert.equal(repository.git('rev-parse', 'autovibe/fix^'), base)
  assert.equal(repository.git('log', '-1', '--format=%s|%(trailers:key=Autovibe-Checkpoint,valueonly,separator=)', 'autovibe/fix'), 'The message|x')
  const listing = repository.git('ls-tree', '-r', '--format=%(objectmode) %(path)', 'autovibe/fix').split('\n').sort()
  assert.deepEqual(listing, ['100644 a.txt', '100644 f/inner', '100644 gone', '100644 same.txt', '100755 run.sh', '120000 link'])
  assert.equal(repository.git('show', 'autovibe/fix:a.txt'), 'theirs')
  assert.equal(repository.git('fsck', '--strict'), '')
  assert.equal(repository.workTreeState(), tree)
  assert.equal(repository.git('status', '--porcelain'), status)
  assert.equal(repository.git('symbolic-ref', '--short', 'HEAD'), 'main')
})

test('a name that is taken or impossible is refused before anything is written', async () => {
  using repository = makeRepository()
  const git = repository.gitFolderState()
  const codeOf = (name: string) =>
    branch(repository, {}, { x: 'x' }, name).then(
      () => 'made',
      (error: AutovibeError) => error.code,
    )
  assert.equal(await codeOf('main'), 'conflict.name_taken')
  for (const name of ['', '-x', 'a..b', 'a b', 'x.lock', 'HEAD', '/x', 'x/']) assert.equal(await codeOf(name), 'request.invalid', name)
  assert.equal(repository.gitFolderState(), git)
})

test('hostile paths are refused for a branch too', async () => {
  using repository = makeRepository()
  const git = repository.gitFolderState()
  for (const path of ['../x', '.git/hooks/x', '.GIT/x', '/x']) {
    await assert.rejects(branch(repository, {}, { [path]: 'x' }), (error: unknown) => error instanceof AutovibeError && error.code === 'apply.conflict')
  }
  assert.equal(repository.gitFolderState(), git)
})

test('without a change there is no branch', async () => {
  using repository = makeRepository()
  const applied = await branch(repository, { a: 'a' }, { a: 'a' })
  assert.deepEqual(applied.files, [])
  assert.throws(() => repository.git('rev-parse', '--verify', 'refs/heads/autovibe/fix'))
})
