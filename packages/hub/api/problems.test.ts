/** Whatever is wrong with a request, the answer is problem+json with a code, and nothing is changed. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { Problem } from '@autovibe/contract'
import { startTestApi, type TestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())

const json = { 'content-type': 'application/json' }
const cases: readonly { title: string; call: () => ReturnType<TestApi['call']>; expected: [number, string]; path?: string }[] = [
  { title: 'a path that does not exist', call: () => api.call('GET', '/v1/nothing'), expected: [404, 'not_found'] },
  { title: 'a path outside /v1', call: () => api.call('GET', '/etc/passwd'), expected: [404, 'not_found'] },
  { title: 'a method that the path does not take', call: () => api.call('DELETE', '/v1/machines'), expected: [405, 'request.method_not_allowed'] },
  { title: 'HEAD', call: () => api.call('HEAD', '/v1/machines'), expected: [405, 'undefined'] },
  {
    title: 'a body of another type',
    call: () => api.call('POST', '/v1/projects', { body: 'name=a', headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
    expected: [415, 'request.media_type'],
  },
  { title: 'a body that is no JSON', call: () => api.call('POST', '/v1/projects', { body: '{"name":', headers: json }), expected: [400, 'request.invalid'] },
  {
    title: 'a body that sets the prototype',
    call: () => api.call('POST', '/v1/projects', { body: '{"name":"a","__proto__":{"x":1}}', headers: json }),
    expected: [400, 'request.invalid'],
  },
  {
    title: 'a body over 1 MiB',
    call: () => api.call('POST', '/v1/projects', { body: { name: 'x'.repeat(1024 * 1024) } }),
    expected: [413, 'request.too_large'],
  },
  { title: 'no body where one is needed', call: () => api.call('POST', '/v1/projects'), expected: [400, 'request.invalid'], path: 'body.name' },
  {
    title: 'a member of the wrong form',
    call: () => api.call('POST', '/v1/projects', { body: { name: 'Not A Name' } }),
    expected: [400, 'request.invalid'],
    path: 'body.name',
  },
  {
    title: 'a member that is not known',
    call: () => api.call('POST', '/v1/projects', { body: { name: 'a', colour: 'red' } }),
    expected: [400, 'request.invalid'],
    path: 'body',
  },
  { title: 'a NUL character', call: () => api.call('POST', '/v1/api-keys', { body: { name: 'a\0b' } }), expected: [400, 'request.invalid'] },
  {
    title: 'half a surrogate pair',
    call: () => api.call('POST', '/v1/api-keys', { body: '{"name":"\\ud800"}', headers: json }),
    expected: [400, 'request.invalid'],
  },
  {
    title: 'a body nested deeper than any stack',
    call: () => api.call('POST', '/v1/projects', { body: `{"name":${'['.repeat(400_000)}${']'.repeat(400_000)}}`, headers: json }),
    expected: [400, 'request.invalid'],
  },
  { title: 'a NUL in the path', call: () => api.call('GET', '/v1/machines/a%00b'), expected: [400, 'request.invalid'] },
  { title: 'an escape that is none', call: () => api.call('GET', '/v1/machines/%zz'), expected: [400, 'request.invalid'] },
  {
    title: 'an id of another kind',
    call: () => api.call('GET', `/v1/runs/${api.runtime.newId('machine')}`),
    expected: [400, 'request.invalid'],
    path: 'path.run',
  },
  { title: 'a query that is not known', call: () => api.call('GET', '/v1/machines?projekt=x'), expected: [400, 'request.invalid'], path: 'query' },
  { title: 'a limit that is no number', call: () => api.call('GET', '/v1/machines?limit=many'), expected: [400, 'request.invalid'], path: 'query.limit' },
  { title: 'a cursor that nobody gave', call: () => api.call('GET', '/v1/machines?cursor=abc'), expected: [400, 'request.invalid'], path: 'query.cursor' },
  {
    title: 'an event cursor beyond 64 bits',
    call: () => api.call('GET', '/v1/events?after=99999999999999999999-1', { headers: { accept: 'application/json' } }),
    expected: [400, 'request.invalid'],
  },
  { title: 'a thing that does not exist', call: () => api.call('GET', '/v1/machines/nobody'), expected: [404, 'not_found'] },
]

for (const { title, call, expected, path } of cases) {
  test(`${title} is answered with ${expected.join(' ')}`, async () => {
    const { status, headers, body } = await call()
    assert.equal(status, expected[0])
    assert.match(String(headers['content-type']), /^application\/problem\+json/)
    assert.match(String(headers['x-request-id']), /^req_[0-9a-f]{20}$/)
    if (expected[1] === 'undefined') return
    const problem = Problem.parse(body)
    assert.equal(problem.code, expected[1])
    assert.equal(problem.status, status)
    assert.ok(problem.fix, 'it says what to do')
    assert.equal(problem.request_id, headers['x-request-id'])
    if (path !== undefined) assert.equal(problem.errors?.[0]?.path, path)
  })
}

test('a literal backslash-u0000 in a text is a text like any other', async () => {
  const { status } = await api.call('POST', '/v1/api-keys', { body: { name: 'the escape \\u0000 and an emoji 🙂' } })
  assert.equal(status, 201)
})

test('405 names the methods that the path takes', async () => {
  const { headers, body } = await api.call('DELETE', '/v1/budgets')
  assert.equal(headers['allow'], 'POST, GET')
  assert.match(body.fix ?? '', /POST, GET/)
})

test('bytes that are no HTTP request are answered with a problem, and the connection is closed', async () => {
  const address = new URL(await api.app.listen({ host: '127.0.0.1', port: 0 }))
  const socket = connect(Number(address.port), address.hostname)
  socket.write('hello\r\n\r\n')
  const answer = await text(socket)
  assert.match(answer, /^HTTP\/1\.1 400 /)
  assert.equal(JSON.parse(answer.split('\r\n\r\n')[1] ?? '').code, 'request.invalid')
})

test('a fault inside is answered without its text', async (t) => {
  // The database is the outside world here: a table that is gone.
  const broken = await startTestApi()
  t.after(() => broken.close())
  await broken.db.schema.alterTable('usage_events').renameTo('elsewhere').execute()
  const { status, body, text: raw } = await broken.call('GET', '/v1/usage-events')
  assert.deepEqual([status, body.code], [500, 'internal'])
  assert.doesNotMatch(raw, /usage_events|relation/)
})
