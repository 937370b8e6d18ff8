/** What the Hub says about itself, and to whom. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Health, HubInfo, InstalledAgent, Page } from '@autovibe/contract'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())

test('health needs no key, but shows its checks only to one who has one', async () => {
  const stranger = await api.call<Health>('GET', '/v1/health', { key: null })
  assert.deepEqual([stranger.status, stranger.body.status, stranger.body.checks], [200, 'ok', []])
  assert.equal((await api.call<Health>('GET', '/v1/health', { key: api.keys.user })).body.checks.length, 1)
})

test('a wrong key is told so even where none is needed', async () => {
  assert.equal((await api.call('GET', '/v1/health', { key: 'avk_wrong' })).status, 401)
})

test('the Hub tells a user what it is', async () => {
  const { status, body } = await api.call<HubInfo>('GET', '/v1/hub', { key: api.keys.user })
  assert.deepEqual([status, body.node], [200, process.version])
})

test('agents are listed, and installing one is audited', async () => {
  assert.equal((await api.call<Page<InstalledAgent>>('GET', '/v1/agents')).body.items[0]?.installed, false)
  assert.equal((await api.call<InstalledAgent>('POST', '/v1/agents/claude-code/install')).body.installed, true)
  assert.equal((await api.db.selectFrom('audit_log').select('subject').where('action', '=', 'agent.install').executeTakeFirstOrThrow()).subject, 'claude-code')
})

test('no answer may be kept by a cache, and each has an id', async () => {
  const { headers } = await api.call('GET', '/v1/machines')
  assert.equal(headers['cache-control'], 'no-store')
  assert.match(String(headers['x-request-id']), /^req_/)
})
