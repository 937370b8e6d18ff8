/** Archives that come in over HTTP: what is asked for of the operations, and that a refusal changes nothing. */
import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { after, test } from 'node:test'
import { type CreatedCheckpoint, type Machine, type Operation, type Page, tarEnd, tarHeader, tarPadding } from '@autovibe/contract'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const url = await api.app.listen({ port: 0, host: '127.0.0.1' })
const project = await api.project('p')

const file = (name: string, content: Buffer): Buffer =>
  Buffer.concat([
    tarHeader({ path: Buffer.from(name), type: 'file', mode: 0o644, size: content.length, mtimeMs: 0, target: null }),
    content,
    tarPadding(content.length),
  ])
const tar = (...files: readonly Buffer[]): Buffer => Buffer.concat([...files, tarEnd()])

async function send(
  body: Uint8Array,
  query = '',
  headers: Record<string, string> = {},
): Promise<{ status: number; answer: CreatedCheckpoint & { code: string; detail: string }; replayed: boolean }> {
  const response = await fetch(`${url}/v1/projects/p/checkpoints${query}`, {
    method: 'POST',
    body: new Uint8Array(body),
    headers: { authorization: `Bearer ${api.keys.user}`, 'content-type': 'application/x-tar', ...headers },
  })
  return { status: response.status, answer: (await response.json()) as never, replayed: response.headers.get('idempotency-replayed') === 'true' }
}

const counts = async () => ({
  checkpoints: (await api.db.selectFrom('checkpoints').select('id').execute()).length,
  machines: (await api.db.selectFrom('machines').select('id').execute()).length,
  operations: (await api.db.selectFrom('operations').select('id').execute()).length,
  kept: (await readdir(api.imports.place)).length,
})

test('a tar becomes a pending checkpoint of a machine that never ran, and an operation makes it of it', async () => {
  const commit = 'f'.repeat(40)
  const sha256 = createHash('sha256').update('source').digest('hex')
  await api.db
    .insertInto('sources')
    .values({ sha256, bytes: 1n, commit, base_commit: commit, branch: null, dirty: false, imported_at: api.runtime.now() })
    .execute()
  await api.db.updateTable('projects').set({ source_sha256: sha256 }).where('id', '=', project).execute()
  const { status, answer } = await send(tar(file('a', Buffer.from('x'))), `?label=from%20outside&commit=${commit}`)
  const { checkpoint, operation_id } = answer
  assert.equal(status, 202)
  assert.deepEqual([checkpoint.state, checkpoint.trigger, checkpoint.label, checkpoint.project_id], ['pending', 'import', 'from outside', project])
  const { source_sha256 } = await api.db.selectFrom('checkpoints').select('source_sha256').where('id', '=', checkpoint.id).executeTakeFirstOrThrow()
  assert.equal(source_sha256, sha256)
  const operation = (await api.call<Operation>('GET', `/v1/operations/${operation_id}`)).body
  assert.deepEqual([operation.kind, operation.state], ['import-checkpoint', 'pending'])
  const machine = (await api.call<Machine>('GET', `/v1/machines/${checkpoint.machine_id}`)).body
  assert.deepEqual([machine.state, machine.state_reason], ['destroyed', 'It stands for an import, and never ran.'])
  assert.equal((await api.call<Page<Machine>>('GET', '/v1/machines')).body.items.filter(({ destroyed_at }) => destroyed_at === null).length, 0)
  const other = await send(tar(file('a', Buffer.from('x'))), `?commit=${'0'.repeat(40)}`)
  assert.equal(
    (await api.db.selectFrom('checkpoints').select('source_sha256').where('id', '=', other.answer.checkpoint.id).executeTakeFirstOrThrow()).source_sha256,
    null,
  )
})

test('the same request sent twice is one import, and other bytes under its key are refused', async () => {
  const headers = { 'idempotency-key': randomUUID() }
  const body = tar(file('a', Buffer.from('once')))
  const first = await send(body, '', headers)
  const before = await counts()
  const second = await send(body, '', headers)
  assert.deepEqual([second.status, second.replayed, second.answer.checkpoint.id], [202, true, first.answer.checkpoint.id])
  const third = await send(tar(file('a', Buffer.from('twice'))), '', headers)
  assert.deepEqual([third.status, third.answer.code], [422, 'idempotency.key_reused'])
  assert.deepEqual(await counts(), before)
})

test('what is refused says so once, also to one that still sends, and nothing has changed', async () => {
  const before = await counts()
  const large = Buffer.alloc(24 * 1024 * 1024, 1)
  for (const [body, query, status, code] of [
    [tar(file('../a', Buffer.from('x')), file('rest', large)), '', 400, 'archive.invalid'],
    [tar(file('/a', Buffer.from('x'))), '', 400, 'archive.invalid'],
    [Buffer.from('no tar'), '', 400, 'archive.invalid'],
    [large, '', 400, 'archive.invalid'],
    [tar(file('project', Buffer.from('x'))), '?contents=all', 400, 'archive.invalid'],
    [tar(), '?contents=home', 400, 'request.invalid'],
    [tar(), '?commit=HEAD', 400, 'request.invalid'],
  ] as const) {
    const { status: got, answer } = await send(body, query)
    assert.deepEqual([got, answer.code], [status, code], answer.detail)
  }
  const unknown = await fetch(`${url}/v1/projects/nobody/checkpoints`, {
    method: 'POST',
    body: new Uint8Array(tar()),
    headers: { authorization: `Bearer ${api.keys.user}`, 'content-type': 'application/x-tar' },
  })
  assert.equal(unknown.status, 404)
  const typed = await send(tar(), '', { 'content-type': 'text/plain' })
  assert.equal(typed.status, 415)
  assert.deepEqual(await counts(), before)
})

test('a fork of an import has to be told what it may spend', async () => {
  const { answer } = await send(tar(file('a', Buffer.from('x'))))
  const { id } = answer.checkpoint
  await api.db.updateTable('checkpoints').set({ state: 'verified' }).where('id', '=', id).execute()
  const refused = await api.call('POST', `/v1/checkpoints/${id}/fork`, { body: {} })
  assert.deepEqual([refused.status, refused.body.code], [400, 'request.invalid'])
  const forked = await api.call('POST', `/v1/checkpoints/${id}/fork`, { body: { budget: '1000' } })
  assert.equal(forked.status, 202)
})
