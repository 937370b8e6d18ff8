/** Archives that are kept until their checkpoint is made: of every tool, packed or not, and those of which nothing is kept. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { link, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { type CheckpointId, readTar, tarEnd, tarHeader, tarPadding } from '@autovibe/contract'
import type { Room } from '@autovibe/core/limits/verdict.ts'
import { systemRuntime } from '../../runtime.ts'
import { type Imports, openImports } from './imports.ts'
import { unpacked } from './unpacked.ts'

const run = promisify(execFile)
const ample = async (): Promise<Room> => ({ freeBytes: 1e12, totalBytes: 2e12, freeFiles: null })
const OF_PROJECT = { contents: 'project', timeMs: 0 } as const

async function place(t: TestContext): Promise<{ folder: string; imports: Imports; id: CheckpointId; kept: () => Promise<string[]> }> {
  const folder = await mkdtemp(join(tmpdir(), 'autovibe-imports-'))
  t.after(() => rm(folder, { recursive: true }))
  const imports = await openImports(join(folder, 'imports'), async () => false, ample)
  return { folder, imports, id: systemRuntime.newId('checkpoint'), kept: () => readdir(join(folder, 'imports')) }
}

async function* chunksOf(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* chunks
}

async function namesIn(imports: Imports, id: CheckpointId): Promise<string[]> {
  const names: string[] = []
  for await (const { path } of readTar(imports.read(id).tar)) names.push(Buffer.from(path).toString())
  return names.sort()
}

const file = (name: string, content: Buffer): Buffer =>
  Buffer.concat([
    tarHeader({ path: Buffer.from(name), type: 'file', mode: 0o644, size: content.length, mtimeMs: 0, target: null }),
    content,
    tarPadding(content.length),
  ])
const tar = (...files: readonly Buffer[]): Buffer => Buffer.concat([...files, tarEnd()])

describe('an archive to import', () => {
  for (const [tool, ...args] of [
    ['tar', '--format=gnu'],
    ['tar', '--format=posix'],
    ['tar', '--format=ustar'],
    ['tar', '--format=gnu', '--gzip'],
    ['bsdtar', '--format=pax', '--zstd'],
    ['bsdtar', '--format=ustar'],
    ['tar', '--format=v7'],
  ] as const)
    test(`made by ${[tool, ...args].join(' ')} is kept, with links and long names`, async (t) => {
      const { folder, imports, id } = await place(t)
      const source = join(folder, 'source')
      const long = args.some((arg) => /ustar|v7/.test(arg)) ? 'short' : 'l'.repeat(180)
      await mkdir(join(source, 'sub'), { recursive: true })
      await writeFile(join(source, 'sub', long), 'content')
      await link(join(source, 'sub', long), join(source, 'too'))
      await symlink('/nowhere', join(source, 'symlink'))
      try {
        await run(tool, ['-cf', join(folder, 'a.tar'), ...args, '-C', source, '.'])
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        return t.skip(`${tool} is not installed`)
      }
      const sha256 = await imports.keep(id, createReadStream(join(folder, 'a.tar')), OF_PROJECT)
      assert.match(sha256, /^[0-9a-f]{64}$/)
      assert.deepEqual(await namesIn(imports, id), ['.', './sub', `./sub/${long}`, './symlink', './too'].sort())
      await imports.drop(id)
      await imports.drop(id)
    })

  test('that is refused, cut off or broken off leaves nothing', async (t) => {
    const { imports, id, kept } = await place(t)
    const good = tar(file('a', Buffer.alloc(5000)))
    async function* torn(): AsyncGenerator<Uint8Array, void> {
      yield good.subarray(0, 1000)
      throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' })
    }
    const cases: readonly (readonly [AsyncIterable<Uint8Array>, string])[] = [
      [chunksOf(good.subarray(0, 3000)), 'archive.invalid'],
      [chunksOf(), 'archive.invalid'],
      [chunksOf(Buffer.from('{"not":"a tar"}')), 'archive.invalid'],
      [chunksOf(tar(file('../a', Buffer.from('x')))), 'archive.invalid'],
      [chunksOf(gzipSync(good).subarray(0, 40)), 'archive.invalid'],
      [chunksOf(Buffer.concat([gzipSync(good).subarray(0, 20), Buffer.alloc(50, 0xaa)])), 'archive.invalid'],
      [torn(), 'request.invalid'],
    ]
    for (const [body, code] of cases) await assert.rejects(imports.keep(id, body, OF_PROJECT), { code })
    assert.deepEqual(await kept(), [])
  })

  test('that unpacks to more than it may is refused on the way, however small it comes', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
    let taken = 0
    await assert.rejects(
      async () => {
        for await (const chunk of unpacked(chunksOf(bomb), 1024 * 1024)) taken += chunk.length
      },
      { code: 'request.too_large' },
    )
    assert.ok(taken <= 1024 * 1024)
    await assert.rejects(
      async () => {
        for await (const _ of unpacked(chunksOf(Buffer.alloc(2000), Buffer.alloc(2000)), 3000));
      },
      { code: 'request.too_large' },
    )
  })

  test('packed with a window larger than we lend memory for is refused', async () => {
    const wide = zstdCompressSync(Buffer.alloc(1024), { params: { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_contentSizeFlag]: 0 } })
    const streamed: Buffer[] = []
    const { createZstdCompress } = await import('node:zlib')
    const pack = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: 27 } })
    pack.end(Buffer.alloc(1024))
    for await (const chunk of pack as AsyncIterable<Buffer>) streamed.push(chunk)
    assert.ok(wide.length > 0)
    await assert.rejects(
      async () => {
        for await (const _ of unpacked(chunksOf(Buffer.concat(streamed))));
      },
      { code: 'archive.invalid', message: /window/ },
    )
  })

  test('that would take the room that the Hub needs is refused before it does', async (t) => {
    const { folder, id, kept } = await place(t)
    let looks = 0
    const scarce = async (): Promise<Room> => ({ ...(await ample()), freeBytes: looks++ < 2 ? 1e12 : 1e9 })
    const imports = await openImports(join(folder, 'imports'), async () => false, scarce)
    async function* endless(): AsyncGenerator<Uint8Array, void> {
      yield tarHeader({ path: Buffer.from('a'), type: 'file', mode: 0o644, size: 2 ** 32, mtimeMs: 0, target: null })
      for (;;) yield new Uint8Array(8 * 1024 * 1024)
    }
    await assert.rejects(imports.keep(id, endless(), OF_PROJECT), { code: 'substrate.disk_full' })
    assert.equal(looks, 3)
    assert.deepEqual(await kept(), [])
  })

  test('nobody waits for any more is removed when the folder is opened', async (t) => {
    const { folder, imports, id, kept } = await place(t)
    const other = systemRuntime.newId('checkpoint')
    for (const one of [id, other]) await imports.keep(one, chunksOf(tar(file('a', Buffer.from('x')))), OF_PROJECT)
    await writeFile(join(folder, 'imports', `${id}.tar.partial`), 'half')
    await openImports(join(folder, 'imports'), async (awaited) => awaited === other, ample)
    assert.deepEqual(await kept(), [`${other}.tar`])
  })
})
