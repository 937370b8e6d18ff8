/** What a hostile machine may try in a change, and that the checkout and all around it stay as they are. */
import assert from 'node:assert/strict'
import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { applyToCheckout } from './apply.ts'
import { openRepository } from './repository.ts'
import { apply, refusal } from './test-apply.ts'
import { entryOf, makeDiff, makeRepository, stream } from './testing.ts'

test('the mode in a manifest gives no more than an executable bit', async () => {
  using repository = makeRepository()
  const { diff, read } = makeDiff(repository.git('rev-parse', 'HEAD'), {}, { x: { text: 'x', executable: true } })
  const entry = diff.files[0]?.after
  assert.ok(entry)
  entry.mode = 0o6777
  await applyToCheckout(await openRepository(repository.path), diff, read)
  assert.equal(lstatSync(join(repository.path, 'x')).mode & 0o7777, 0o777 & ~process.umask())
})

test('a link of the checkout in the middle of a path is not written through', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'autovibe-test-outside-'))
  try {
    using repository = makeRepository({ 'a.txt': 'a' })
    symlinkSync(outside, join(repository.path, 'dir'))
    const error = await refusal(repository, () => apply(repository, {}, { 'dir/evil.txt': 'evil' }))
    assert.equal(error.code, 'apply.conflict')
    assert.deepEqual(readdirSync(outside), [])
  } finally {
    rmSync(outside, { recursive: true, force: true })
  }
})

test('a link that the machine puts in place of a folder cannot lead its other files outside', async () => {
  using repository = makeRepository({ 'dir/a': 'a' })
  const error = await refusal(repository, () => apply(repository, { 'dir/a': 'a' }, { dir: { link: '/tmp' }, 'dir/evil': 'x' }, { allowOutsideLinks: true }))
  assert.match(error.message, /below another file/)
})

for (const [what, path] of [
  ['upwards', '../evil'],
  ['absolute', '/tmp/evil'],
  ['into .git', '.git/hooks/post-checkout'],
  ['into .GIT', '.GIT/hooks/post-checkout'],
  ['into .git in HFS disguise', '.g\u200dit/config'],
  ['into .git in NTFS disguise', 'GIT~1/config'],
  ['into an inner .git in disguise', 'sub/.Git/config'],
  ['with an escaped slash', '..\\x2f..\\x2fevil'],
  ['with a NUL', 'a\0b'],
  ['badly escaped', 'a\\q'],
] as const) {
  test(`a hostile path (${what}) refuses the whole change`, async () => {
    using repository = makeRepository({ 'a.txt': 'a' })
    const error = await refusal(repository, () => apply(repository, { 'a.txt': 'a' }, { 'a.txt': 'b', [path]: 'evil' }))
    assert.equal(error.code, 'apply.conflict')
    assert.match(error.message, /refused/)
  })
}

test('a link out of the project refuses the whole change unless it is allowed', async () => {
  using repository = makeRepository({ 'a.txt': 'a' })
  for (const link of ['/etc/passwd', '../../x', 'a/../../x']) {
    const error = await refusal(repository, () => apply(repository, {}, { 'a.txt': 'b', l: { link } }))
    assert.match(error.fix ?? '', /--allow-outside-links/)
  }
  await apply(repository, {}, { l: { link: '/etc/passwd' } }, { allowOutsideLinks: true })
  assert.equal(readlinkSync(join(repository.path, 'l')), '/etc/passwd')
})

test('a content that is not what its manifest says is not written', async () => {
  using repository = makeRepository({ 'a.txt': 'a' })
  const head = repository.git('rev-parse', 'HEAD')
  for (const lie of ['x', 'longer than promised', '']) {
    const { diff } = makeDiff(head, { 'a.txt': 'a' }, { 'a.txt': 'b', 'c.txt': 'c' })
    const error = await refusal(repository, async () => applyToCheckout(await openRepository(repository.path), diff, async () => stream(Buffer.from(lie))))
    assert.equal(error.code, 'checkpoint.corrupt')
  }
})

test('an entry of another path than its change is refused', async () => {
  using repository = makeRepository({ 'a.txt': 'a' })
  const { diff, read } = makeDiff(repository.git('rev-parse', 'HEAD'), {}, { 'a.txt': 'b' })
  const [file] = diff.files
  assert.ok(file)
  file.after = entryOf('other.txt', 'b')
  const error = await refusal(repository, async () => applyToCheckout(await openRepository(repository.path), diff, read))
  assert.match(error.message, /another path/)
})

test('the same path twice is refused', async () => {
  using repository = makeRepository({ 'a.txt': 'a' })
  const { diff, read } = makeDiff(repository.git('rev-parse', 'HEAD'), {}, { 'b.txt': 'b' })
  diff.files.push(...structuredClone(diff.files))
  const error = await refusal(repository, async () => applyToCheckout(await openRepository(repository.path), diff, read))
  assert.match(error.message, /twice/)
})
