/** A change that is larger than what is kept of the words of git: some seconds, and a gigabyte of the disk. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { applyToBranch } from '../packages/cli/git/branch.ts'
import { OUTPUT_BYTES } from '../packages/cli/git/command.ts'
import { openRepository } from '../packages/cli/git/repository.ts'
import { makeDiff, makeRepository } from '../packages/cli/git/testing.ts'

test('a change whose pack is larger than what is kept of the words of git comes through', async (t) => {
  using repository = makeRepository()
  // Zeros that are not packed: as large as noise, and much faster.
  repository.write({ '../unpacked.cfg': '[core]\n\tcompression = 0\n\tlooseCompression = 0\n[pack]\n\tcompression = 0\n' })
  const before = process.env['GIT_CONFIG_GLOBAL']
  t.after(() => {
    if (before === undefined) delete process.env['GIT_CONFIG_GLOBAL']
    else process.env['GIT_CONFIG_GLOBAL'] = before
  })
  process.env['GIT_CONFIG_GLOBAL'] = join(repository.path, '../unpacked.cfg')
  const content = Buffer.alloc(OUTPUT_BYTES + 1024)
  const { diff } = makeDiff(repository.git('rev-parse', 'HEAD'), {}, { large: content })
  const options = { branch: 'autovibe/fix', message: 'Large\n' }
  await applyToBranch(await openRepository(repository.path), diff, async () => inMebibytes(content), options)
  assert.equal(repository.git('cat-file', '-s', 'autovibe/fix:large'), String(content.length))
})

async function* inMebibytes(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1024 ** 2) yield bytes.subarray(at, at + 1024 ** 2)
}
