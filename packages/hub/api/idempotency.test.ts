/** Idempotency keys: a repeat gets the first answer, whatever happened in between. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { CreatedApiKey, Problem, Project } from '@autovibe/contract'
import { type Answer, startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())

const withKey = (key: string) => ({ 'idempotency-key': key })
const countProjects = async () => (await api.db.selectFrom('projects').select('id').execute()).length
const countAudits = async (action: string) => (await api.db.selectFrom('audit_log').select('seq').where('action', '=', action).execute()).length

test('a repeat with the same key and body gets the first answer and changes nothing', async () => {
  const request = { body: { name: 'once' }, headers: withKey('k1') }
  const first = await api.call<Project>('POST', '/v1/projects', request)
  const [projects, audits] = [await countProjects(), await countAudits('project.create')]
  const second = await api.call<Project>('POST', '/v1/projects', request)
  assert.equal(first.status, 201)
  assert.deepEqual([second.status, second.body], [first.status, first.body])
  assert.equal(second.headers['idempotency-replayed'], 'true')
  assert.deepEqual([await countProjects(), await countAudits('project.create')], [projects, audits])
})

test('the same key with another body, or for another path, is refused', async () => {
  await api.call('POST', '/v1/projects', { body: { name: 'mine' }, headers: withKey('k2') })
  const otherBody = await api.call('POST', '/v1/projects', { body: { name: 'other' }, headers: withKey('k2') })
  assert.deepEqual([otherBody.status, otherBody.body.code], [422, 'idempotency.key_reused'])
  const otherPath = await api.call('POST', '/v1/api-keys', { body: { name: 'mine' }, headers: withKey('k2') })
  assert.deepEqual([otherPath.status, otherPath.body.code], [422, 'idempotency.key_reused'])
})

test('two callers may use the same key for different things', async () => {
  const one = await api.call<Project>('POST', '/v1/projects', { body: { name: 'of-admin' }, headers: withKey('shared') })
  const two = await api.call<Project>('POST', '/v1/projects', { key: api.keys.user, body: { name: 'of-user' }, headers: withKey('shared') })
  assert.deepEqual([one.status, two.status], [201, 201])
})

test('many repeats at once make one change; each gets the answer or is told to wait', async () => {
  const before = await countProjects()
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => api.call<Project>('POST', '/v1/projects', { body: { name: 'racing' }, headers: withKey('race') })),
  )
  for (const { status, body } of answers) {
    if (status === 409) assert.equal((body as unknown as { code: string }).code, 'idempotency.in_flight')
    else assert.equal(status, 201)
  }
  assert.ok(answers.some(({ status }) => status === 201))
  assert.equal(await countProjects(), before + 1)
})

test('while the first request is under way, a repeat is answered with 409 and may be sent again', async () => {
  const { id } = await api.db.selectFrom('api_keys').select('id').where('role', '=', 'admin').executeTakeFirstOrThrow()
  let answer: Answer<Problem> | undefined
  await api.transaction(async (tx) => {
    // The first request holds this lock for as long as its transaction lasts.
    const { sql } = await import('kysely')
    await sql`select pg_advisory_xact_lock(hashtextextended(${`${id}:slow`}, 0))`.execute(tx)
    answer = await api.call('POST', '/v1/projects', { body: { name: 'slow' }, headers: withKey('slow') })
  })
  assert.deepEqual([answer?.status, answer?.body.code, answer?.body.retryable], [409, 'idempotency.in_flight', true])
  assert.equal((await api.call('POST', '/v1/projects', { body: { name: 'slow' }, headers: withKey('slow') })).status, 201)
})

test('a refusal is repeated too, and leaves no change behind', async () => {
  await api.project('taken')
  const request = { body: { name: 'taken' }, headers: withKey('k3') }
  const first = await api.call('POST', '/v1/projects', request)
  assert.deepEqual([first.status, first.body.code], [409, 'conflict.name_taken'])
  await api.db.deleteFrom('projects').where('name', '=', 'taken').execute()
  const second = await api.call('POST', '/v1/projects', request)
  assert.deepEqual([second.status, second.body.code, second.body.detail], [409, 'conflict.name_taken', first.body.detail])
})

test('a failure of the Hub is not kept: the repeat does the work', async (t) => {
  const broken = await startTestApi()
  t.after(() => broken.close())
  const request = { body: { name: 'again' }, headers: withKey('k4') }
  await broken.db.schema.alterTable('audit_log').renameTo('away').execute()
  assert.equal((await broken.call('POST', '/v1/projects', request)).status, 500)
  assert.equal((await broken.db.selectFrom('projects').select('id').execute()).length, 0, 'nothing is half done')
  await broken.db.schema.alterTable('away').renameTo('audit_log').execute()
  assert.equal((await broken.call('POST', '/v1/projects', request)).status, 201)
})

test('an answer that holds a secret is repeated, and stored only sealed', async () => {
  const request = { body: { name: 'sealed' }, headers: withKey('k5') }
  const first = await api.call<CreatedApiKey>('POST', '/v1/api-keys', request)
  const second = await api.call<CreatedApiKey>('POST', '/v1/api-keys', request)
  assert.equal(second.body.secret, first.body.secret)
  const rows = await api.db.selectFrom('idempotency_keys').selectAll().execute()
  assert.ok(!JSON.stringify(rows, (_name, value) => (typeof value === 'bigint' ? String(value) : value)).includes(first.body.secret))
})

test('a key older than a day is free again', async () => {
  const request = { body: { name: 'yesterday' }, headers: withKey('old') }
  const first = await api.call<Project>('POST', '/v1/projects', request)
  await api.db.deleteFrom('projects').where('id', '=', first.body.id).execute()
  await api.db
    .updateTable('idempotency_keys')
    .set({ created_at: new Date(Date.now() - 25 * 3_600_000) })
    .where('key', '=', 'old')
    .execute()
  const second = await api.call<Project>('POST', '/v1/projects', request)
  assert.equal(second.status, 201)
  assert.notEqual(second.body.id, first.body.id)
})

test('a key that is no key is refused', async () => {
  for (const key of ['', 'has space', 'x'.repeat(201)]) {
    const { status, body } = await api.call('POST', '/v1/projects', { body: { name: 'never' }, headers: withKey(key) })
    assert.deepEqual([status, body.errors?.[0]?.path], [400, 'headers.idempotency-key'], key)
  }
})
