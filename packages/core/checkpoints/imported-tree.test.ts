/** Tars that somebody made, and the tree that comes of them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TarEntry } from '@autovibe/contract'
import { ImportedTree } from './imported-tree.ts'

const tar = (path: string, more: Partial<TarEntry> = {}): TarEntry => ({
  path: Buffer.from(path),
  type: 'file',
  mode: 0o644,
  size: 0,
  mtimeMs: 1,
  target: null,
  ...more,
})
const folder = (path: string, mode = 0o750): TarEntry => tar(path, { type: 'directory', mode })
const link = (path: string, target: string, type: 'link' | 'symlink' = 'link'): TarEntry => tar(path, { type, mode: 0o777, target: Buffer.from(target) })

/** The paths and types of the tree, in the order in which they come. */
function treeOf(...entries: readonly TarEntry[]): string[] {
  const tree = new ImportedTree('project', 7)
  tree.complete(['project', 'home'])
  return entries.flatMap((entry, index) => tree.admit(entry, index).entries.map(({ path, type, mode }) => `${path} ${type} ${mode.toString(8)}`))
}

const refused = (entries: readonly TarEntry[], message: RegExp): void =>
  assert.throws(
    () => treeOf(...entries),
    (error: Error & { code?: string }) => error.code === 'archive.invalid' && message.test(error.message),
    String(message),
  )

describe('a tar that is imported', () => {
  test('gives its entries under the project, whatever it calls the folder that was packed', () => {
    assert.deepEqual(treeOf(folder('.'), folder('./a'), tar('./a/b'), tar('c'), link('d', '/etc/passwd', 'symlink')), [
      'project/a directory 750',
      'project/a/b file 644',
      'project/c file 644',
      'project/d symlink 777',
    ])
  })

  test('gets the folders that it does not tell of, and takes one that it tells of later or again', () => {
    assert.deepEqual(treeOf(tar('a/b/c'), folder('a', 0o700), folder('a', 0o711)), [
      'project/a directory 755',
      'project/a/b directory 755',
      'project/a/b/c file 644',
      'project/a directory 700',
      'project/a directory 711',
    ])
  })

  test('gives nobody the rights of another user or group, and leaves the sticky bit', () => {
    assert.deepEqual(treeOf(tar('s', { mode: 0o6755 }), folder('t', 0o3777)), ['project/s file 755', 'project/t directory 1777'])
  })

  test('makes two files of a hard link, with the content of the first, through any number of links', () => {
    const tree = new ImportedTree('project', 7)
    tree.admit(tar('a', { size: 5, mode: 0o755 }), 512)
    tree.admit(link('b', './a'), 1024)
    const { entries, offset } = tree.admit(link('c', 'b'), 1536)
    assert.deepEqual([entries.at(-1)?.path, entries.at(-1)?.size, entries.at(-1)?.mode, offset], ['project/c', 5, 0o755, 512])
  })

  test('that leaves its folder is refused by name', () => {
    refused([tar('/etc/passwd')], /"\/etc\/passwd" is an absolute path/)
    refused([tar('../up')], /"project\/\.\.\/up" has the part \.\./)
    refused([tar('a/../../up')], /has the part \.\./)
    refused([tar('a/./b')], /has the part \./)
    refused([tar('a//b')], /empty part/)
    refused([tar('')], /empty/)
    refused([tar('a\0b')], /NUL/)
    refused([tar('n'.repeat(256))], /longer than 255/)
    refused([tar(Array.from({ length: 2100 }, () => 'a').join('/'))], /longer than 4095/)
  })

  test('that goes through a link, or through a file, is refused', () => {
    refused([link('out', '/etc', 'symlink'), tar('out/passwd')], /"project\/out\/passwd" lies in something that is no folder/)
    refused([link('one', 'two', 'symlink'), link('two', '..', 'symlink'), tar('one/x')], /no folder/)
    refused([tar('f'), tar('f/g')], /no folder/)
    refused([tar('f'), folder('f/g/h')], /no folder/)
  })

  test('with hard links to nothing, to a folder or out of it is refused', () => {
    refused([link('a', 'b')], /hard link to "b", which does not come before it/)
    refused([link('a', 'a')], /does not come before/)
    refused([folder('d'), link('a', 'd')], /hard link to a folder/)
    refused([link('a', '/etc/shadow')], /absolute/)
    refused([link('a', '../../etc/shadow')], /has the part \.\./)
    refused([link('a', '.')], /does not come before/)
  })

  test('with a path twice, a device, a pipe or a link to nowhere is refused', () => {
    refused([tar('a'), tar('a')], /"project\/a" comes twice/)
    refused([tar('a'), tar('./a')], /comes twice/)
    refused([tar('a'), folder('a')], /comes twice/)
    refused([folder('a'), link('a', '/', 'symlink')], /comes twice/)
    refused([tar('dev', { type: 'special' })], /device, a pipe or a socket/)
    refused([tar('.', { type: 'special' })], /no folder/)
    refused([link('a', '', 'symlink')], /no target/)
    refused([tar('a', { size: 2 ** 40 })], /larger than/)
    // Each name of a file becomes a file of its own.
    refused([tar('a', { size: 40 * 2 ** 30 }), link('b', 'a')], /larger than 64 GiB together/)
    refused([tar('a', { mtimeMs: Number.POSITIVE_INFINITY })], /time/)
  })

  test('with more entries or longer paths than a tree may have is refused, those counted that it only implies', () => {
    const few = new ImportedTree(null, 7, { entries: 4, textBytes: 100 })
    few.admit(tar('a/b/c'), 0)
    few.admit(folder('a'), 0)
    assert.throws(() => few.admit(folder('a'), 0), { code: 'archive.invalid', message: /more than 4 entries/ })
    const short = new ImportedTree(null, 7, { entries: 4, textBytes: 10 })
    assert.throws(() => short.admit(link('a', 'nine long', 'symlink'), 0) && short.admit(tar('b'), 0), {
      code: 'archive.invalid',
      message: /longer than 10 bytes/,
    })
  })

  test('of everything needs the folders of a checkpoint, and may bring them itself', () => {
    const whole = new ImportedTree(null, 7)
    whole.admit(folder('project', 0o700), 0)
    assert.deepEqual(
      whole.complete(['project', 'home']).map(({ path }) => path),
      ['home'],
    )
    const wrong = new ImportedTree(null, 7)
    wrong.admit(tar('project'), 0)
    assert.throws(() => wrong.complete(['project', 'home']), { code: 'archive.invalid', message: /"project" is no folder/ })
  })
})
