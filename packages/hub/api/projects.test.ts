/** Projects and the import of their source, with bundles that git itself made. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Event, type Page, type Project, SOURCE_REF } from '@autovibe/contract'
import { until } from '../../../test/support/until.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
const folder = await mkdtemp(join(tmpdir(), 'avgit-'))
after(async () => {
  await api.close()
  await rm(folder, { recursive: true, force: true })
})

const git = (...args: string[]): string =>
  execFileSync('git', ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim()

git('init', '-q', '-b', 'main')
await writeFile(join(folder, 'a.txt'), 'one\n')
git('add', '-A')
git('commit', '-qm', 'one')
const first = git('rev-parse', 'HEAD')
// More than the header's limit, so that the pack comes in many chunks.
await writeFile(join(folder, 'b.bin'), randomBytes(300_000))
git('add', '-A')
git('commit', '-qm', 'two')
const commit = git('rev-parse', 'HEAD')
git('update-ref', SOURCE_REF, commit)
git('bundle', 'create', 'whole.bundle', SOURCE_REF)
git('bundle', 'create', 'thin.bundle', `${first}..${SOURCE_REF}`)
git('bundle', 'create', 'branch.bundle', 'main')
const whole = await readFile(join(folder, 'whole.bundle'))

const put = (name: string, body: Buffer, query = `commit=${commit}&base_commit=${first}&branch=main&dirty=true`, type = 'application/x-git-bundle') =>
  api.call<Project>('PUT', `/v1/projects/${name}/source?${query}`, { body, headers: { 'content-type': type } })

test('a project is made, found by name and by id, and listed newest first in pages', async () => {
  const names = ['alpha', 'beta', 'gamma']
  for (const name of names) assert.equal((await api.call('POST', '/v1/projects', { key: api.keys.user, body: { name } })).status, 201)
  const byName = await api.call<Project>('GET', '/v1/projects/beta')
  const byId = await api.call<Project>('GET', `/v1/projects/${byName.body.id}`)
  assert.deepEqual(byId.body, byName.body)
  assert.equal(byName.body.source, null)
  const page = await api.call<Page<Project>>('GET', '/v1/projects?limit=2')
  const rest = await api.call<Page<Project>>('GET', `/v1/projects?limit=2&cursor=${page.body.next_cursor}`)
  assert.deepEqual(
    [...page.body.items, ...rest.body.items].map(({ name }) => name),
    ['gamma', 'beta', 'alpha'],
  )
  assert.equal(rest.body.next_cursor, null)
})

test('making a project is recorded: event and audit, in the same transaction', async () => {
  const { body, headers } = await api.call<Project>('POST', '/v1/projects', { body: { name: 'recorded' } })
  const audit = await api.db.selectFrom('audit_log').selectAll().where('subject', '=', body.id).executeTakeFirstOrThrow()
  assert.deepEqual([audit.action, audit.request_id], ['project.create', headers['x-request-id']])
  // They are read below the oldest transaction of the whole server, which may be another test's.
  const events = await until('its events can be read', 30_000, async () => {
    const page = await api.call<Page<Event>>('GET', `/v1/events?project=${body.id}`, { headers: { accept: 'application/json' } })
    return page.body.items.length > 0 ? page.body.items : undefined
  })
  assert.deepEqual(
    events.map(({ type }) => type),
    ['project.created'],
  )
})

test('a bundle is kept under its own hash, and becomes the source of the project', async () => {
  await api.project('imported')
  const { status, body } = await put('imported', whole)
  assert.equal(status, 200)
  const sha256 = createHash('sha256').update(whole).digest('hex')
  const { imported_at, ...source } = body.source ?? { imported_at: '' }
  assert.deepEqual(source, { sha256, bytes: whole.length, commit, base_commit: first, branch: 'main', dirty: true })
  assert.deepEqual(await readFile(join(api.dataDir, 'sources', `${sha256}.bundle`)), whole)
})

test('importing the same bundle twice, or by a client that sends plain bytes, ends the same', async () => {
  await api.project('twice')
  const one = await put('twice', whole)
  const two = await put('twice', whole, undefined, 'application/octet-stream')
  assert.deepEqual([two.status, two.body.source?.sha256], [200, one.body.source?.sha256])
})

test('what is no complete bundle of the import ref is refused, and nothing is kept of it', async () => {
  const id = await api.project('refused')
  await api.db.deleteFrom('sources').where('sha256', '=', '').execute()
  const before = await readdir(join(api.dataDir, 'sources'))
  const bad: Record<string, Buffer> = {
    'not a bundle': Buffer.from('PK\x03\x04 this is a zip file, or says so'),
    'an empty body': Buffer.alloc(0),
    'a bundle cut off in its header': whole.subarray(0, 40),
    'a header without an end': Buffer.concat([Buffer.from('# v2 git bundle\n'), Buffer.alloc(200_000, 'x')]),
    'a bundle with prerequisites': await readFile(join(folder, 'thin.bundle')),
    'a bundle of another ref': await readFile(join(folder, 'branch.bundle')),
  }
  for (const [title, body] of Object.entries(bad)) {
    const answer = await put('refused', body)
    assert.deepEqual([answer.status, (answer.body as unknown as { code: string }).code], [400, 'project.source_invalid'], title)
  }
  const wrongCommit = await put('refused', whole, `commit=${first}&base_commit=${first}`)
  assert.equal(wrongCommit.status, 400)
  assert.deepEqual(await readdir(join(api.dataDir, 'sources')), before)
  const row = await api.db.selectFrom('projects').select('source_sha256').where('id', '=', id).executeTakeFirstOrThrow()
  assert.equal(row.source_sha256, null)
})

test('an upload whose connection breaks leaves nothing behind', async () => {
  await api.project('broken-off')
  const before = await readdir(join(api.dataDir, 'sources'))
  const url = new URL(`/v1/projects/broken-off/source?commit=${commit}&base_commit=${first}`, await api.app.listen({ host: '127.0.0.1', port: 0 }))
  const done = new Promise<void>((resolve) => api.app.server.once('request', (_request, response) => response.once('close', () => resolve())))
  const client = httpRequest(url, {
    method: 'PUT',
    headers: { authorization: `Bearer ${api.keys.admin}`, 'content-type': 'application/x-git-bundle', 'content-length': whole.length },
  })
  client.on('error', () => undefined)
  client.write(whole.subarray(0, 100_000), () => client.destroy())
  await done
  // The Hub notices the loss while it reads; the partial file goes right after.
  const { setTimeout: delay } = await import('node:timers/promises')
  for (let look = 0; look < 200 && (await readdir(join(api.dataDir, 'sources'))).length !== before.length; look++) await delay(10)
  assert.deepEqual(await readdir(join(api.dataDir, 'sources')), before)
})
