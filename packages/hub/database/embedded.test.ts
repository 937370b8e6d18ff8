/** The embedded server makes a cluster only where there is nothing, and never takes anything away. */
import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startEmbeddedPostgres } from './embedded.ts'

async function folder(t: TestContext): Promise<{ dir: string; data: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'avpg-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const data = join(dir, 'data')
  await mkdir(data)
  return { dir, data }
}

/** A server that starts against expectation must not outlive the test. */
const start = async (dir: string): Promise<void> => {
  const server = await startEmbeddedPostgres({ dir })
  await server.stop()
}

for (const [what, spoil] of [
  ['lies as a folder', (path: string) => mkdir(path)],
  ['is missing', () => undefined],
  ['is empty', (path: string) => writeFile(path, '')],
  ['is of another version', (path: string) => writeFile(path, '14\n')],
] as const) {
  test(`a data folder with files whose PG_VERSION ${what} is refused and left as it is`, async (t) => {
    const { dir, data } = await folder(t)
    await writeFile(join(data, 'the-ledger'), 'precious')
    await spoil(join(data, 'PG_VERSION'))
    const before = await readdir(data)
    await assert.rejects(start(dir), (error: { code?: string; fix?: string }) => error.code === 'hub.data_version' && typeof error.fix === 'string')
    assert.deepEqual(await readdir(data), before)
    assert.equal(await readFile(join(data, 'the-ledger'), 'utf8'), 'precious')
  })
}

test('a data folder that is a file is refused and left as it is', async (t) => {
  const { dir, data } = await folder(t)
  await rm(data, { recursive: true })
  await writeFile(data, 'precious')
  await assert.rejects(start(dir), { code: 'hub.data_version' })
  assert.equal(await readFile(data, 'utf8'), 'precious')
})

const skip = process.getuid?.() === 0 ? false : 'only root runs the database as another user'

test("a folder above that keeps the database's user out is named, with the command that opens it", { skip }, async (t) => {
  const { dir } = await folder(t)
  await chmod(dir, 0o755)
  const closed = join(dir, 'closed')
  await mkdir(closed, { mode: 0o700 })
  await assert.rejects(start(join(closed, 'inner', 'postgres')), (error: { code?: string; message: string; fix?: string }) => {
    assert.equal(error.code, 'request.invalid')
    assert.match(error.message, /runs as the user \w+/)
    assert.ok(error.message.includes(`the folder ${closed} `) && error.fix?.startsWith(`chmod o+x ${closed},`), `${error.message} ${error.fix}`)
    return true
  })
})

test('an empty data folder becomes a cluster', async (t) => {
  const { dir, data } = await folder(t)
  await start(dir)
  assert.equal(await readFile(join(data, 'PG_VERSION'), 'utf8'), '15\n')
})
