/** Paths that no single system call takes. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createReadStream, createWriteStream, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { lstat, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import { after, test } from 'node:test'
import { anyLength, reach, reachSync } from './long-path.ts'

const top = mkdtempSync(join(tmpdir(), 'av-long-'))
after(() => spawnSync('rm', ['-rf', top]))
const SLASH = Buffer.from('/')
const skip = process.platform === 'linux' ? false : 'open folders have short names in the /proc of Linux'

/** The folders to this depth, each made by way of the one above. */
async function deep(names: readonly string[]): Promise<Buffer> {
  let path = Buffer.from(top)
  for (const name of names) {
    path = Buffer.concat([path, SLASH, Buffer.from(name)])
    await reach(path, (near) => mkdir(near))
  }
  return path
}
const openFiles = (): number => readdirSync('/proc/self/fd').length

test('a path of three times the limit is made, written, read and looked at, and nothing stays open', { skip }, async () => {
  const folder = await deep(Array.from({ length: 50 }, (_, index) => `${index}`.padEnd(250, 'x')))
  assert.ok(folder.length > 12_000)
  const file = Buffer.concat([folder, SLASH, Buffer.alloc(255, 0xfe)])
  const before = openFiles()
  await reach(file, (near) => writeFile(near, 'deep'))
  assert.equal(String(await reach(file, (near) => readFile(near))), 'deep')
  assert.equal(
    reachSync(file, (near) => readFileSync(near, 'utf8')),
    'deep',
  )
  const stream = createWriteStream(file, { flags: 'a', fs: anyLength })
  stream.end('er')
  await finished(stream)
  assert.equal(String(await buffer(createReadStream(file, { fs: anyLength }))), 'deeper')
  assert.equal((await reach(file, (near) => lstat(near))).size, 6)
  assert.equal(openFiles(), before)
})

test('names of one byte, two thousand folders deep, are reached', { skip }, async () => {
  const file = Buffer.concat([await deep(Array.from({ length: 2_100 }, () => 'd')), SLASH, Buffer.from('f')])
  await reach(file, (near) => writeFile(near, ''))
  assert.ok((await reach(file, (near) => lstat(near))).isFile())
})

test('what is not there is said to be, what is too long for a name is too long, and nothing stays open', { skip }, async () => {
  const folder = await deep(Array.from({ length: 20 }, (_, index) => `n${index}`.padEnd(250, 'x')))
  const before = openFiles()
  const missing = Buffer.concat([folder, SLASH, Buffer.from('none')])
  await assert.rejects(
    reach(missing, (near) => lstat(near)),
    { code: 'ENOENT' },
  )
  assert.throws(() => reachSync(missing, (near) => readFileSync(near)), { code: 'ENOENT' })
  await assert.rejects(
    reach(Buffer.alloc(5_000, 'x'), (near) => lstat(near)),
    { code: 'ENAMETOOLONG' },
  )
  await assert.rejects(buffer(createReadStream(missing, { fs: anyLength })), { code: 'ENOENT' })
  assert.equal(openFiles(), before)
})

test('a link where a path is parted is not followed', { skip }, async () => {
  mkdirSync(join(top, 'elsewhere'))
  writeFileSync(join(top, 'elsewhere', 'file'), '')
  const names = Array.from({ length: 20 }, (_, index) => `l${index}`.padEnd(250, 'x'))
  const within = Math.floor((4095 - top.length) / 251)
  const above = await deep(names.slice(0, within - 1))
  const link = Buffer.concat([above, SLASH, Buffer.from((names[within - 1] ?? '').slice(0, 250))])
  await reach(link, (near) => symlink(join(top, 'elsewhere'), near))
  const beyond = Buffer.concat([link, SLASH, Buffer.alloc(255, 'y')])
  assert.ok(link.length <= 4095 && beyond.length > 4095)
  await assert.rejects(
    reach(beyond, (near) => lstat(near)),
    (error: NodeJS.ErrnoException) => error.code === 'ENOTDIR' || error.code === 'ELOOP',
  )
})
