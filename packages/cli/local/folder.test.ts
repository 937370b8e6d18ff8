import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { makeFolder } from './folder.ts'

const root = mkdtempSync(join(tmpdir(), 'autovibe-test-folder-'))
after(() => rmSync(root, { recursive: true, force: true }))

test('a folder is made once with those above it, and only itself is closed', async () => {
  const path = join(root, 'a', 'b', 'c')
  const umask = process.umask(0o022)
  try {
    assert.deepEqual(await Promise.all([makeFolder(path, 0o700), makeFolder(path, 0o700)]).then((made) => made.sort()), [false, true])
  } finally {
    process.umask(umask)
  }
  assert.deepEqual(
    [path, join(root, 'a', 'b'), join(root, 'a')].map((folder) => statSync(folder).mode & 0o777),
    [0o700, 0o755, 0o755],
  )
})

test('where no folder can be, that is said at once instead of being tried for ever', async () => {
  const file = join(root, 'file')
  writeFileSync(file, '')
  for (const [path, code] of [
    ['/proc/foo/bar', 'ENOENT'],
    [join(file, 'x'), 'ENOTDIR'],
    [file, 'EEXIST'],
  ] as const)
    await assert.rejects(makeFolder(path, 0o700), { code }, path)
})
