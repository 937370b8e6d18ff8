/** Providers and API keys: secrets go in and never come out. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createListener } from 'node:net'
import { after, test } from 'node:test'
import type { ApiKey, CreatedApiKey, Page, Provider, ProviderReach } from '@autovibe/contract'
import { findPrice } from '@autovibe/core/budgets/prices.ts'
import { pricesOf } from '../gateway/prices/table.ts'
import { providerKeyContext } from '../security/secrets.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())

const sealedKey = async (name: string) =>
  (await api.db.selectFrom('providers').select('key_sealed').where('name', '=', name).executeTakeFirstOrThrow()).key_sealed

test('a provider gets the defaults of its wire, and its key is kept sealed', async () => {
  const { status, body, text } = await api.call<Provider>('PUT', '/v1/providers/anthropic', { body: { key: 'sk-ant-very-secret' } })
  assert.equal(status, 200)
  assert.deepEqual([body.base_url, body.default_model, body.has_key, body.simulated], ['https://api.anthropic.com', 'claude-opus-5-5', true, false])
  assert.doesNotMatch(text, /very-secret/)
  const sealed = await sealedKey('anthropic')
  assert.ok(sealed && !sealed.includes('very-secret'))
  assert.equal(api.secrets.open(sealed, providerKeyContext('anthropic')), 'sk-ant-very-secret')
  const everything = await api.db.selectFrom('audit_log').select('detail').execute()
  assert.doesNotMatch(JSON.stringify(everything), /very-secret/)
})

test('a provider of the OpenAI wire gets the defaults of that wire, by its name or by its word, with a model that has a price', async () => {
  for (const [name, body] of [
    ['openai', {}],
    ['second', { wire: 'openai' }],
  ] as const) {
    const { status, body: provider } = await api.call<Provider>('PUT', `/v1/providers/${name}`, { body })
    assert.deepEqual([status, provider.wire, provider.base_url], [200, 'openai', 'https://api.openai.com'])
    assert.ok(findPrice(pricesOf[provider.wire], provider.default_model))
    const kept = await api.call<Provider>('PUT', `/v1/providers/${name}`, { body: { key: 'sk-1' } })
    assert.deepEqual([kept.body.wire, kept.body.default_model], ['openai', provider.default_model])
    // On another wire neither the address nor the model makes sense, and the key must not go there.
    const moved = await api.call('PUT', `/v1/providers/${name}`, { body: { wire: 'anthropic' } })
    assert.deepEqual([moved.status, moved.body.errors?.[0]?.path], [400, 'body.key'])
    await api.db.deleteFrom('providers').where('name', '=', name).execute()
  }
})

test('what is left out stays; the key can be forgotten', async () => {
  await api.call('PUT', '/v1/providers/anthropic', { body: { key: 'sk-ant-1' } })
  const changed = await api.call<Provider>('PUT', '/v1/providers/anthropic', { body: { default_model: 'claude-haiku-5' } })
  assert.deepEqual([changed.body.has_key, changed.body.default_model, changed.body.base_url], [true, 'claude-haiku-5', 'https://api.anthropic.com'])
  const forgotten = await api.call<Provider>('DELETE', '/v1/providers/anthropic/key')
  assert.equal(forgotten.body.has_key, false)
  assert.equal(await sealedKey('anthropic'), null)
})

test('a key travels encrypted, or not beyond this host', async () => {
  for (const base_url of [
    'http://api.example.com',
    'ftp://127.0.0.1',
    'https://user:pass@api.example.com',
    'https://api.example.com/?key=1',
    'http://127.0.0.1.example.com',
    'not a url',
    'file:///etc/passwd',
  ]) {
    const { status, body } = await api.call('PUT', '/v1/providers/bad', { body: { base_url } })
    assert.deepEqual([status, body.code], [400, 'request.invalid'], base_url)
  }
  for (const base_url of ['https://api.example.com', 'http://127.0.0.1:9000', 'http://localhost:9000/v1', 'http://[::1]:9000']) {
    assert.equal((await api.call('PUT', '/v1/providers/good', { body: { base_url } })).status, 200, base_url)
  }
})

test('a stored key is not sent to another origin than it was given for', async () => {
  await api.call('PUT', '/v1/providers/moving', { body: { key: 'secret-1', base_url: 'https://one.example.com' } })
  const moved = await api.call('PUT', '/v1/providers/moving', { body: { base_url: 'https://two.example.com' } })
  assert.deepEqual([moved.status, moved.body.errors?.[0]?.path], [400, 'body.key'])
  assert.equal((await api.call<Provider>('GET', '/v1/providers/moving')).body.base_url, 'https://one.example.com')
  assert.equal((await api.call('PUT', '/v1/providers/moving', { body: { base_url: 'https://two.example.com', key: 'secret-2' } })).status, 200)
})

test('providers are listed by name, in pages, for users too', async () => {
  const first = await api.call<Page<Provider>>('GET', '/v1/providers?limit=1', { key: api.keys.user })
  const rest = await api.call<Page<Provider>>('GET', `/v1/providers?cursor=${first.body.next_cursor}`, { key: api.keys.user })
  const names = [...first.body.items, ...rest.body.items].map(({ name }) => name)
  assert.deepEqual(names, ['anthropic', 'good', 'moving'])
})

test('a provider is removed with its key, and is then as if it had never been', async () => {
  await api.call('PUT', '/v1/providers/leaving', { body: { key: 'secret-3', base_url: 'https://one.example.com' } })
  const removed = await api.call<Provider>('DELETE', '/v1/providers/leaving')
  assert.deepEqual([removed.status, removed.body.name, removed.body.has_key], [200, 'leaving', true])
  for (const [method, path] of [
    ['GET', ''],
    ['GET', '/reach'],
    ['DELETE', ''],
  ] as const) {
    const gone = await api.call(method, `/v1/providers/leaving${path}`)
    assert.deepEqual([gone.status, gone.body.code], [404, 'not_found'], `${method} ${path}`)
  }
  const again = await api.call<Provider>('PUT', '/v1/providers/leaving', { body: {} })
  assert.deepEqual([again.body.has_key, again.body.base_url], [false, 'https://api.anthropic.com'])
  await api.call('DELETE', '/v1/providers/leaving')
  const [audited] = await api.db.selectFrom('audit_log').select(['action', 'subject']).where('action', '=', 'provider.delete').execute()
  assert.deepEqual(audited, { action: 'provider.delete', subject: 'leaving' })
})

test('a provider that a run still calls is not removed, and the refusal names the run and its machine', async () => {
  await api.call('PUT', '/v1/providers/busy', { body: { key: 'secret-4' } })
  const project = await api.project('calling')
  const machine = await api.machine(project, 'caller', 'running')
  const run = await api.run(project, machine, 'paused')
  await api.db.updateTable('runs').set({ provider: 'busy' }).where('id', '=', run).execute()
  const refused = await api.call('DELETE', '/v1/providers/busy')
  assert.deepEqual([refused.status, refused.body.code], [409, 'conflict.state'])
  assert.ok(refused.body.detail.includes(run) && refused.body.fix?.includes('autovibe machine destroy caller'))
  assert.ok(await sealedKey('busy'))
  await api.db.updateTable('runs').set({ state: 'cancelled', ended_at: api.runtime.now() }).where('id', '=', run).execute()
  assert.equal((await api.call('DELETE', '/v1/providers/busy')).status, 200)
})

test('reaching a provider sends no key, takes a refusal for an answer, and names what is wrong when there is none', async () => {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${JSON.stringify(request.headers)}`)
    response.writeHead(401).end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const base_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  await api.call('PUT', '/v1/providers/near', { body: { base_url, key: 'secret-5' } })
  const reach = () => api.call<ProviderReach>('GET', '/v1/providers/near/reach', { key: api.keys.user })
  assert.deepEqual((await reach()).body, { answers: true, detail: `${new URL(base_url).host} answers` })
  assert.match(seen.join('\n'), /^HEAD \/v1 /)
  assert.doesNotMatch(seen.join('\n'), /secret-5|x-api-key|authorization/i)
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  assert.deepEqual((await reach()).body, { answers: false, detail: `${new URL(base_url).host} does not answer (nothing listens there)` })
  await api.call('DELETE', '/v1/providers/near')
})

test('a provider that takes the connection and says nothing is given up', { timeout: 60_000 }, async () => {
  const silent = createListener((socket) => socket.on('error', () => undefined).resume())
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  await api.call('PUT', '/v1/providers/silent', { body: { base_url: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` } })
  const { body } = await api.call<ProviderReach>('GET', '/v1/providers/silent/reach')
  assert.equal(body.answers, false)
  assert.match(body.detail, /no answer within 2 s/)
  await api.call('DELETE', '/v1/providers/silent')
  await new Promise((resolve) => silent.close(resolve))
})

test('a key is shown once, and stored as its hash', async () => {
  const { status, body } = await api.call<CreatedApiKey>('POST', '/v1/api-keys', { body: { name: 'ci' } })
  assert.deepEqual([status, body.role], [201, 'user'])
  assert.match(body.secret, /^avk_[A-Za-z0-9_-]{43}$/)
  const listed = await api.call<Page<ApiKey>>('GET', '/v1/api-keys')
  assert.ok(!listed.text.includes(body.secret))
  assert.ok(listed.body.items.some(({ id }) => id === body.id))
  const rows = await api.db.selectFrom('api_keys').selectAll().execute()
  assert.ok(!JSON.stringify(rows).includes(body.secret))
})

test('the last admin key cannot be revoked, not even by two requests that each revoke the other', async () => {
  const own = await startTestApi()
  try {
    const second = await own.call<CreatedApiKey>('POST', '/v1/api-keys', { body: { name: 'second', role: 'admin' } })
    const { body } = await own.call<Page<ApiKey>>('GET', '/v1/api-keys')
    const first = body.items.find(({ name }) => name === 'admin')
    const answers = await Promise.all([
      own.call('DELETE', `/v1/api-keys/${first?.id}`, { key: second.body.secret }),
      own.call('DELETE', `/v1/api-keys/${second.body.id}`),
    ])
    const living = await own.db.selectFrom('api_keys').select('id').where('role', '=', 'admin').where('revoked_at', 'is', null).execute()
    assert.equal(living.length, 1, answers.map(({ status }) => status).join(' '))
  } finally {
    await own.close()
  }
})
