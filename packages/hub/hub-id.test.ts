import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readHubId } from './hub-id.ts'
import { systemRuntime } from './runtime.ts'

test('a Hub keeps the id that it was given at its first start, and takes no damaged one', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'autovibe-id-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [one, two] = [join(folder, 'one'), join(folder, 'two')]
  const id = await readHubId(one, systemRuntime)
  assert.match(id, /^[0-9a-f]{32}$/)
  assert.equal(await readHubId(one, systemRuntime), id)
  assert.equal((await stat(one)).mode & 0o777, 0o600)
  assert.notEqual(await readHubId(two, systemRuntime), id)
  await writeFile(two, '../..')
  await assert.rejects(readHubId(two, systemRuntime), { code: 'hub.data_version' })
})
