/** Small files by threads: what is read is what lies there, and what does not lie there as it was said is refused by name. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { fileTime } from '@autovibe/core/checkpoints/restored.ts'
import { HostFiles } from './host-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'av-files-'))
after(() => rmSync(folder, { recursive: true }))
const files = new HostFiles(2)
const at = (name: string | Buffer): Buffer => Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name)])

test('a thousand files that are written at once are read back with their hashes, modes and times', async () => {
  const contents = Array.from({ length: 1_000 }, (_, index) => randomBytes(index % 7 === 0 ? 0 : (index * 37) % 9_000))
  // Bytes that are no text, as any name may be.
  const name = (index: number): Buffer => Buffer.concat([Buffer.from([0xff, 0x0a]), Buffer.from(String(index))])
  await Promise.all(contents.map((content, index) => files.write(at(name(index)), content, { mode: 0o600 + (index % 8), time: fileTime(index * 1_000 + 0.5) })))
  const read = await Promise.all(contents.map((content, index) => files.read(at(name(index)), content.length)))
  for (const [index, { bytes, sha256 }] of read.entries()) {
    const content = contents[index] ?? Buffer.alloc(0)
    assert.ok(bytes.equals(content))
    assert.equal(sha256, createHash('sha256').update(content).digest('hex'))
    const { mode, mtimeMs } = statSync(at(name(index)))
    assert.equal(mode & 0o7777, 0o600 + (index % 8))
    assert.ok(Math.abs(mtimeMs - (index * 1_000 + 0.5)) < 0.01)
  }
})

test('a file that is longer, shorter, gone, a link or a pipe is refused, and its neighbours are read', async () => {
  writeFileSync(at('five'), '12345')
  symlinkSync('five', at('link'))
  execFileSync('mkfifo', [at('pipe').toString()])
  const outcome = async (name: string, size: number): Promise<string> => {
    try {
      return (await files.read(at(name), size)).bytes.toString()
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  const outcomes = [outcome('five', 4), outcome('five', 6), outcome('five', 5), outcome('nowhere', 1), outcome('link', 5), outcome('pipe', 0)]
  assert.deepEqual(await Promise.all(outcomes), ['EGREW', 'ESHRANK', '12345', 'ENOENT', 'ELOOP', 'ENOTFILE'])
})

test('what is there already is not written to, nor what a link leads to', async () => {
  writeFileSync(at('mine'), 'kept')
  chmodSync(at('mine'), 0o640)
  symlinkSync('elsewhere', at('dangling'))
  const write = (name: string) => files.write(at(name), Buffer.from('other'), { mode: 0o600, time: '0' })
  await assert.rejects(write('mine'), { name: 'FileFailure', code: 'EEXIST' })
  await assert.rejects(write('dangling'), { name: 'FileFailure', code: 'EEXIST' })
  assert.equal(readFileSync(at('mine'), 'utf8'), 'kept')
})

test('a file that is no small one is refused before anything is read', () => {
  assert.throws(() => files.read(at('five'), 3 * 1024 * 1024), RangeError)
})

test('reads and writes have their turns, however many of the other wait', async () => {
  const one = new HostFiles(1)
  writeFileSync(at('turns'), 'turns')
  const order: ('read' | 'write')[] = []
  const reads = Array.from({ length: 300 }, () => one.read(at('turns'), 5).then(() => order.push('read')))
  const writes = Array.from({ length: 300 }, (_, index) =>
    one.write(at(`turn-${index}`), Buffer.from('x'), { mode: 0o600, time: '0' }).then(() => order.push('write')),
  )
  await Promise.all([...reads, ...writes])
  const runs: { kind: string; length: number }[] = []
  for (const kind of order) {
    const last = runs.at(-1)
    if (last?.kind === kind) last.length++
    else runs.push({ kind, length: 1 })
  }
  // The first is alone; then each order takes up to 64, and the kinds take turns while there is any of both.
  assert.deepEqual(
    runs.map(({ kind, length }) => `${length} ${kind}`),
    ['1 read', ...Array.from({ length: 4 }, () => ['64 write', '64 read']).flat(), '44 write', '43 read'],
  )
})

test('threads at rest do not keep a process from its end', async () => {
  writeFileSync(at('read'), 'read')
  const program = `
    const { HostFiles } = await import(${JSON.stringify(new URL('./host-files.ts', import.meta.url).href)})
    console.log((await new HostFiles(2).read(Buffer.from(${JSON.stringify(at('read').toString())}), 4)).bytes.toString())`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { timeout: 60_000 })
  assert.equal(stdout, 'read\n')
})
