import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { assertContents } from './tar-top.ts'

const folder = mkdtempSync(join(tmpdir(), 'autovibe-test-tar-top-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const packs: readonly (readonly [string, string, 'all' | 'project'])[] = [
  ['project', 'project.tar', 'project'],
  ['project', 'project.tar.gz', 'project'],
  ['everything', 'everything.tar', 'all'],
  ['everything', 'everything.tar.gz', 'all'],
]
for (const path of ['project/src', 'project/home', 'everything/home', 'everything/project/src', 'both/home', 'both/project', 'both/src'])
  mkdirSync(join(folder, path), { recursive: true })
for (const path of ['project/src/a', 'everything/project/src/a']) writeFileSync(join(folder, path), 'a')
for (const [from, file] of packs) execFileSync('tar', ['--format=posix', '-acf', join(folder, file), '-C', join(folder, from), '.'])

test('a tar is taken for what it is, and refused with the line that takes it where it is called the other', async () => {
  for (const [, file, contents] of packs) {
    const path = join(folder, file)
    await assertContents(path, contents, 'again')
    const other = contents === 'all' ? 'project' : 'all'
    await assert.rejects(assertContents(path, other, 'again'), { code: 'request.invalid', fix: contents === 'all' ? 'again --all' : 'again' }, file)
  }
})

test('a project may have folders of these names beside others', async () => {
  execFileSync('tar', ['-cf', join(folder, 'both.tar'), '-C', join(folder, 'both'), 'home', 'project', 'src'])
  await assertContents(join(folder, 'both.tar'), 'project', 'again')
})

test('what is no tar, is cut off or is empty is left to the Hub', async () => {
  const whole = execFileSync('tar', ['-czf', '-', '-C', join(folder, 'project'), '.'])
  for (const [name, content] of [
    ['none', Buffer.from('root:x:0:0:root:/root:/bin/bash\n'.repeat(40))],
    ['cut', whole.subarray(0, whole.length - 12)],
    ['damaged', Buffer.concat([whole.subarray(0, 20), Buffer.alloc(40, 255)])],
    ['empty', Buffer.alloc(0)],
    ['zstd', Buffer.from('28b52ffd00000000ff', 'hex')],
  ] as const) {
    writeFileSync(join(folder, name), content)
    await assertContents(join(folder, name), 'all', 'again')
  }
})
