/** Files that are written whole or not at all. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeNewFile } from './new-file.ts'

async function* chunks(...given: readonly (string | Error)[]): AsyncGenerator<Uint8Array, void> {
  for (const one of given) {
    if (one instanceof Error) throw one
    yield Buffer.from(one)
  }
}

test('a file that is there is replaced only when asked, and a stream that breaks off leaves what was there', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'autovibe-file-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'out.tar')
  await assert.rejects(writeNewFile(path, chunks('half', new Error('broken')), { replace: false }), { message: 'broken' })
  assert.deepEqual(readdirSync(folder), [])
  assert.equal(await writeNewFile(path, chunks('who', 'le'), { replace: false }), 5)
  await assert.rejects(writeNewFile(path, chunks('other'), { replace: false }), { code: 'conflict.name_taken' })
  await assert.rejects(writeNewFile(path, chunks('other', new Error('broken')), { replace: true }), { message: 'broken' })
  assert.equal(readFileSync(path, 'utf8'), 'whole')
  await writeNewFile(path, chunks('other'), { replace: true })
  assert.equal(readFileSync(path, 'utf8'), 'other')
  assert.deepEqual(readdirSync(folder), ['out.tar'])
})

test('a name that is taken while the stream runs is not replaced', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'autovibe-file-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'out.tar')
  async function* slow(): AsyncGenerator<Uint8Array, void> {
    yield Buffer.from('ours')
    writeFileSync(path, 'theirs')
  }
  await assert.rejects(writeNewFile(path, slow(), { replace: false }), { code: 'conflict.name_taken' })
  assert.equal(readFileSync(path, 'utf8'), 'theirs')
  assert.deepEqual(readdirSync(folder), ['out.tar'])
})
