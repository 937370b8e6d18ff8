/** What arrives in a checkout, what of it stays, and when it is a conflict. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { applyToCheckout } from './apply.ts'
import { openRepository } from './repository.ts'
import { apply, refusal } from './test-apply.ts'
import { type Files, makeDiff, makeRepository, stream } from './testing.ts'

const TEXT = 'one\ntwo\nthree\nfour\nfive\nsix\nseven\n'

test('added, changed and removed files arrive in a clean checkout, and neither index nor refs are written', async () => {
  const before = { 'a.txt': TEXT, 'dir/gone.txt': 'x', 'b.bin': Buffer.from([0, 1, 2]) }
  using repository = makeRepository(before)
  const git = repository.gitFolderState()
  const applied = await apply(repository, before, {
    'a.txt': TEXT.replace('two', 'TWO'),
    'b.bin': Buffer.from([0, 255, 10, 13]),
    'new/deep/file.txt': 'new',
    empty: '',
  })
  assert.deepEqual(applied.map(({ path, result }) => `${result} ${path}`).sort(), [
    'added empty',
    'added new/deep/file.txt',
    'changed a.txt',
    'changed b.bin',
    'removed dir/gone.txt',
  ])
  assert.equal(repository.read('a.txt'), TEXT.replace('two', 'TWO'))
  assert.equal(repository.read('new/deep/file.txt'), 'new')
  assert.equal(repository.read('empty'), '')
  assert.equal(existsSync(join(repository.path, 'dir')), false, 'a folder goes with its last file')
  assert.equal(repository.gitFolderState(), git)
})

test('a second apply changes nothing and says so', async () => {
  const [before, after] = [{ 'a.txt': 'a' }, { 'a.txt': 'b', 'c.txt': 'c' }]
  using repository = makeRepository(before)
  await apply(repository, before, after)
  const state = repository.workTreeState()
  assert.deepEqual(
    (await apply(repository, before, after)).map(({ result }) => result),
    ['already', 'already'],
  )
  assert.equal(repository.workTreeState(), state)
})

test('uncommitted work in other places of the same file is kept', async () => {
  const before = { 'a.txt': TEXT }
  using repository = makeRepository(before)
  repository.write({ 'a.txt': TEXT.replace('seven', 'SEVEN, mine'), 'mine.txt': 'mine' })
  const [file] = await apply(repository, before, { 'a.txt': TEXT.replace('one', 'ONE, theirs') })
  assert.equal(file?.result, 'merged')
  assert.equal(repository.read('a.txt'), TEXT.replace('seven', 'SEVEN, mine').replace('one', 'ONE, theirs'))
  assert.equal(repository.read('mine.txt'), 'mine')
})

test('a conflict changes nothing, names every file that does not fit, and tells the way out', async () => {
  const before = { 'a.txt': TEXT, 'b.txt': 'b', 'ok.txt': 'ok', 'gone.txt': 'x', bin: Buffer.from([0, 1]) }
  using repository = makeRepository(before)
  repository.write({ 'a.txt': TEXT.replace('two', 'mine'), 'b.txt': 'mine', 'new.txt': 'mine', bin: Buffer.from([0, 2]) })
  repository.remove('gone.txt')
  const after = { 'a.txt': TEXT.replace('two', 'theirs'), 'ok.txt': 'changed', 'gone.txt': 'y', 'new.txt': 'theirs', bin: Buffer.from([0, 3]) }
  const error = await refusal(repository, () => apply(repository, before, after))
  assert.equal(error.code, 'apply.conflict')
  assert.equal(error.exitCode, 6)
  assert.deepEqual(
    error.errors?.map(({ path }) => path),
    ['a.txt', 'b.txt', 'bin', 'gone.txt', 'new.txt'],
  )
  assert.match(error.fix ?? '', /--branch/)
})

test('executable bits are set and taken, on changed and unchanged contents', async () => {
  const before: Files = { 'a.sh': 'a', 'b.sh': { text: 'b', executable: true }, 'c.sh': 'c' }
  using repository = makeRepository(before)
  await apply(repository, before, {
    'a.sh': { text: 'a', executable: true },
    'b.sh': 'b2',
    'c.sh': { text: 'c2', executable: true },
    'd.sh': { text: 'd', executable: true },
  })
  const executable = (name: string) => (lstatSync(join(repository.path, name)).mode & 0o100) !== 0
  assert.deepEqual(['a.sh', 'b.sh', 'c.sh', 'd.sh'].map(executable), [true, false, true, true])
})

test('links are made, moved and removed as links, and never followed', async () => {
  const before: Files = { 'target.txt': 't', move: { link: 'target.txt' }, gone: { link: 'target.txt' }, file: 'x', link: { link: 'target.txt' } }
  using repository = makeRepository(before)
  await apply(repository, before, {
    'target.txt': 't',
    move: { link: 'file' },
    file: { link: 'target.txt' },
    link: 'now a file',
    'dir/new': { link: '../target.txt' },
  })
  assert.deepEqual(
    ['move', 'file', 'dir/new'].map((name) => readlinkSync(join(repository.path, name))),
    ['file', 'target.txt', '../target.txt'],
  )
  assert.ok(lstatSync(join(repository.path, 'link')).isFile())
  assert.equal(existsSync(join(repository.path, 'gone')), false)
  assert.equal(repository.read('target.txt'), 't')
})

test('a file can become a folder and a folder a file', async () => {
  const before = { a: 'file', 'b/c/d': 'x', 'b/e': 'y' }
  using repository = makeRepository(before)
  await apply(repository, before, { 'a/inner': 'in', b: 'file' })
  assert.equal(repository.read('a/inner'), 'in')
  assert.equal(repository.read('b'), 'file')
})

test('a folder that holds other files is not replaced by a file', async () => {
  const before = { 'b/c': 'x' }
  using repository = makeRepository(before)
  repository.write({ 'b/mine': 'untracked' })
  const error = await refusal(repository, () => apply(repository, before, { b: 'file' }))
  assert.equal(error.code, 'apply.conflict')
})

test('new files that the checkout ignores, and inner repositories, are left out and named', async () => {
  using repository = makeRepository({ '.gitignore': 'node_modules/\n*.log\n', 'kept.log': 'k' })
  repository.git('add', '--force', 'kept.log')
  repository.git('commit', '--quiet', '--message', 'tracked all the same')
  const applied = await apply(
    repository,
    { 'kept.log': 'k' },
    { 'kept.log': 'changed', 'node_modules/x/index.js': 'x', 'a.log': 'x', 'sub/.git/config': 'x', 'sub/a.txt': 'a' },
  )
  assert.deepEqual(applied.map(({ path, result }) => `${result} ${path}`).sort(), [
    'added sub/a.txt',
    'changed kept.log',
    'ignored a.log',
    'ignored node_modules/x/index.js',
    'left out sub/.git/config',
  ])
  assert.equal(existsSync(join(repository.path, 'node_modules')), false)
  assert.equal(existsSync(join(repository.path, 'sub/.git')), false)
})

test('a name that is not UTF-8 is written byte for byte', { skip: process.platform !== 'linux' && 'only Linux has such names' }, async () => {
  using repository = makeRepository()
  const { diff } = makeDiff(repository.git('rev-parse', 'HEAD'), {}, { 'caf\\xe9.txt': 'x' })
  await applyToCheckout(await openRepository(repository.path), diff, async () => stream(Buffer.from('x')))
  const names = readdirSync(repository.path, { encoding: 'buffer' })
  assert.ok(names.some((name) => name.equals(Buffer.from('636166e92e747874', 'hex'))))
})

test('a checkout that does not hold the imported commit is refused as the wrong one', async () => {
  using repository = makeRepository()
  const { diff, read } = makeDiff('0123456789012345678901234567890123456789', {}, { x: 'x' })
  const error = await refusal(repository, async () => applyToCheckout(await openRepository(repository.path), diff, read))
  assert.match(error.fix ?? '', /--project/)
})

test('a checkout that cannot be written is reported and stays as it is', { skip: process.getuid?.() === 0 && 'root may write everywhere' }, async () => {
  using repository = makeRepository({ 'dir/a.txt': 'a' })
  mkdirSync(join(repository.path, 'other'))
  chmodSync(repository.path, 0o555)
  try {
    const error = await refusal(repository, () => apply(repository, { 'dir/a.txt': 'a' }, { 'dir/a.txt': 'b' }))
    assert.equal(error.code, 'apply.conflict')
  } finally {
    chmodSync(repository.path, 0o755)
  }
})
