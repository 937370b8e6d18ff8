/** Writing to a checkout that changes under the hand: nothing is overwritten, everything is taken back. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { refusal } from './test-apply.ts'
import { entryOf, makeRepository } from './testing.ts'
import { writeAll } from './write.ts'

test('a file that changes between check and write stops everything, and what was written is taken back', async () => {
  using repository = makeRepository({ 'a.txt': 'a', 'b/c.txt': 'b' })
  const from = join(repository.path, '..', 'new')
  writeFileSync(from, 'new')
  const expected = (text: string) => ({ kind: 'file', sha256: entryOf('x', text)?.sha256 ?? '', size: 1, executable: false }) as const
  const put = { kind: 'file', from, executable: false } as const
  const error = await refusal(repository, () =>
    writeAll(repository.path, [
      { name: 'a.txt', path: Buffer.from('a.txt'), expected: expected('a'), put },
      { name: 'n/e/w', path: Buffer.from('n/e/w'), expected: { kind: 'absent' }, put },
      { name: 'b/c.txt', path: Buffer.from('b/c.txt'), expected: expected('what was seen'), put: { kind: 'absent' } },
    ]),
  )
  assert.equal(error.code, 'apply.conflict')
})

test('a path that appears between check and write is not overwritten, and everything is taken back', async () => {
  using repository = makeRepository({ 'a.txt': 'a', 'z.txt': 'mine' })
  const from = join(repository.path, '..', 'new')
  writeFileSync(from, 'new')
  const put = { kind: 'file', from, executable: false } as const
  await refusal(repository, () =>
    writeAll(repository.path, [
      { name: 'n/e/w', path: Buffer.from('n/e/w'), expected: { kind: 'absent' }, put },
      { name: 'z.txt', path: Buffer.from('z.txt'), expected: { kind: 'absent' }, put },
    ]),
  )
  assert.equal(repository.read('z.txt'), 'mine')
})
