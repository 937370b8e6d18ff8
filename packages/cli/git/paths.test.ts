import assert from 'node:assert/strict'
import { posix } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import { decodeManifestPath, linkDanger, pathDanger } from './paths.ts'

const bytes = (text: string) => Buffer.from(text)

for (const path of [
  'a',
  'src/age.js',
  '.gitignore',
  '.github/workflows/x.yml',
  'a b/c',
  '..a/b',
  '...',
  'git/x',
  'gitx~1',
  'ünïcödé/文',
  '-rf',
  'x\ny',
  '.gitmodules',
  'a.git/b',
]) {
  test(`the path ${JSON.stringify(path)} may be written`, () => assert.equal(pathDanger(bytes(path)), undefined))
}

const HOSTILE = {
  'an empty path': '',
  'an absolute path': '/etc/passwd',
  'a path upwards': '../x',
  'a path upwards in the middle': 'a/../../x',
  'a path that ends upwards': 'a/..',
  'a dot': './a',
  'an empty name': 'a//b',
  'a folder with a slash at its end': 'a/',
  'a NUL byte': 'a\0b',
  'the git folder': '.git/hooks/post-checkout',
  'the git folder itself': '.git',
  'an inner git folder': 'a/.git/config',
  'the git folder in capitals': '.GIT/config',
  'the git folder in mixed case': 'a/.gIt/config',
  'the git folder with an ignored character (HFS+)': '.g\u200cit/config',
  'the git folder with a byte order mark (HFS+)': '\ufeff.git/config',
  'the git folder with a dot behind it (NTFS)': '.git./config',
  'the git folder with a blank behind it (NTFS)': '.git /config',
  'the short name of the git folder (NTFS)': 'GIT~1/config',
  'a stream of the git folder (NTFS)': '.git::$INDEX_ALLOCATION/config',
  'the git folder behind a backslash': 'a\\.git\\config',
}
for (const [what, path] of Object.entries(HOSTILE)) {
  test(`${what} may not be written`, () => assert.notEqual(pathDanger(bytes(path)), undefined))
}

test('a path that is accepted always stays below the folder it is joined to', () => {
  const part = fc.oneof(fc.constantFrom('..', '.', '', '.git', 'a', '.GIT', 'git~1', '\u200d.git'), fc.string())
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const path = parts.join('/')
      if (pathDanger(bytes(path)) !== undefined) return
      const joined = posix.join('/root', path)
      assert.equal(joined, `/root/${path}`)
      assert.ok(joined.startsWith('/root/'))
    }),
  )
})

test('links within the project may be written', () => {
  for (const [path, target] of [
    ['l', 'a'],
    ['a/l', '../b'],
    ['a/b/l', '../../c/d'],
    ['l', './a/b'],
    ['l', 'missing'],
  ] as const)
    assert.equal(linkDanger(bytes(path), bytes(target)), undefined, `${path} -> ${target}`)
})

test('links that lead out of the project, or could by way of another link, are refused', () => {
  for (const [path, target] of [
    ['l', '/etc/passwd'],
    ['l', '..'],
    ['l', '../x'],
    ['a/l', '../../x'],
    ['l', 'a/../../x'],
    ['l', 'a/../b'],
    ['l', '.git/config'],
    ['a/l', '../.GIT/hooks'],
    ['l', ''],
    ['l', 'a\0b'],
  ] as const)
    assert.notEqual(linkDanger(bytes(path), bytes(target)), undefined, `${path} -> ${JSON.stringify(target)}`)
})

test('a manifest path stands for its bytes: escapes are undone, and wrong ones refused', () => {
  assert.deepEqual(decodeManifestPath('a/b'), bytes('a/b'))
  assert.deepEqual(decodeManifestPath('a\\\\b'), bytes('a\\b'))
  assert.deepEqual(decodeManifestPath('a\\xffb'), Buffer.from([0x61, 0xff, 0x62]))
  assert.deepEqual(decodeManifestPath('\\\\xff'), bytes('\\xff'))
  for (const wrong of ['a\\', 'a\\n', '\\x', '\\xf', '\\xzz']) assert.equal(decodeManifestPath(wrong), undefined, wrong)
})

test('an escape cannot smuggle in a slash or a dot that the check would not see', () => {
  const path = decodeManifestPath('\\x2e\\x2e\\x2fx')
  assert.ok(path)
  assert.notEqual(pathDanger(path), undefined)
})
