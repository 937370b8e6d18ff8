/** The archive of a checkpoint over HTTP: what is in it, and that a broken one never looks whole. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { readTar } from '@autovibe/contract'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const url = await api.app.listen({ port: 0, host: '127.0.0.1' })
const project = await api.project('p')
const machine = await api.machine(project, 'm')
const source = 'c'.repeat(64)
const commit = 'd'.repeat(40)
await api.db
  .insertInto('sources')
  .values({ sha256: source, bytes: 1n, commit, base_commit: 'e'.repeat(40), branch: null, dirty: true, imported_at: api.runtime.now() })
  .execute()
const start = await api.checkpoint(machine, { files: { 'project/.gitignore': '*.log\n', 'project/old.log': 'o' }, trigger: 'start', source })
const tip = await api.checkpoint(machine, {
  files: { 'project/.gitignore': '*\n', 'project/a.txt': 'text\n', 'project/b.log': 'l', 'project/old.log': 'o', 'home/secret': 's' },
  source,
  parent: start,
})

const get = (path: string) => fetch(`${url}${path}`, { headers: { authorization: `Bearer ${api.keys.user}` } })

async function contentsOf(response: Response): Promise<Record<string, string>> {
  const contents: Record<string, string> = {}
  for await (const { path, content } of readTar(Readable.fromWeb(response.body as never))) {
    let text = ''
    for await (const chunk of content) text += Buffer.from(chunk).toString()
    contents[Buffer.from(path).toString()] = text
  }
  return contents
}

test('the archive holds the project, or everything, with or without what was ignored before', async () => {
  const answer = await get(`/v1/checkpoints/${tip}/archive`)
  assert.equal(answer.headers.get('content-type'), 'application/x-tar')
  assert.equal(answer.headers.get('content-disposition'), `attachment; filename="${tip}.tar"`)
  assert.deepEqual([answer.headers.get('autovibe-source-commit'), answer.headers.get('autovibe-source-base-commit')], [commit, 'e'.repeat(40)])
  assert.deepEqual(await contentsOf(answer), { '.gitignore': '*\n', 'a.txt': 'text\n', 'b.log': 'l', 'old.log': 'o' })
  assert.deepEqual(Object.keys(await contentsOf(await get(`/v1/checkpoints/${tip}/archive?ignored=false`))), ['.gitignore', 'a.txt', 'old.log'])
  const all = Object.keys(await contentsOf(await get(`/v1/checkpoints/${tip}/archive?contents=all`)))
  assert.deepEqual(all, ['home', 'home/secret', 'project', 'project/.gitignore', 'project/a.txt', 'project/b.log', 'project/old.log'])
})

test('what is not verified, not there or not understood is refused with a problem', async () => {
  const pending = await api.checkpoint(machine, { parent: tip })
  for (const [path, status, code] of [
    [`/v1/checkpoints/${pending}/archive`, 409, 'checkpoint.not_verified'],
    [`/v1/checkpoints/${api.runtime.newId('checkpoint')}/archive`, 404, 'not_found'],
    [`/v1/checkpoints/${tip}/archive?contents=home`, 400, 'request.invalid'],
    [`/v1/checkpoints/${tip}/archive?ignore=1`, 400, 'request.invalid'],
  ] as const) {
    const answer = await get(path)
    assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [status, code], path)
  }
})

test('when the earlier tree is gone, what was ignored cannot be told, and all of it still can be had', async () => {
  const first = await api.checkpoint(machine, { files: { 'project/a': '1' }, trigger: 'start' })
  const second = await api.checkpoint(machine, { files: { 'project/a': '2' }, parent: first })
  await api.db.updateTable('checkpoints').set({ state: 'expired' }).where('id', '=', first).execute()
  const refused = await get(`/v1/checkpoints/${second}/archive?ignored=false`)
  assert.equal(refused.status, 410)
  assert.match(((await refused.json()) as { fix: string }).fix, /--ignored/)
  assert.deepEqual(await contentsOf(await get(`/v1/checkpoints/${second}/archive`)), { a: '2' })
})

test('a content that turns out to be damaged breaks the answer off in the middle', async () => {
  const other = await api.machine(await api.project('damaged'), 'd')
  const large = await api.checkpoint(other, { files: { 'project/a': 'sound', 'project/large': randomBytes(4 * 1024 * 1024).toString('hex') } })
  const { project_id } = await api.db.selectFrom('checkpoints').select('project_id').where('id', '=', large).executeTakeFirstOrThrow()
  const files = await readdir(join(api.dataDir, 'store'), { recursive: true, withFileTypes: true })
  let damaged = 0
  for (const one of files) {
    if (!one.isFile() || !one.parentPath.includes('segments') || !one.parentPath.includes(project_id)) continue
    await using file = await open(join(one.parentPath, one.name), 'r+')
    const middle = Math.floor((await file.stat()).size / 2)
    await file.write(Buffer.alloc(16), 0, 16, middle)
    damaged++
  }
  assert.ok(damaged > 0)
  const answer = await get(`/v1/checkpoints/${large}/archive`)
  assert.equal(answer.status, 200)
  await assert.rejects(answer.arrayBuffer())
})
