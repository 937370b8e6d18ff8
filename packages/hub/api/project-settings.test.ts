/** What a project sets for itself: allowed models, prices, keys; by admins alone, and the keys go in and never come out. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DEFAULT_RETENTION, DEFAULT_TRIGGERS, type ProjectId, type ProjectSettings } from '@autovibe/contract'
import { projectKeyContext, providerKeyContext } from '../security/secrets.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())

const AT = '/v1/projects/shop'
const PRICE = {
  context_window_tokens: 200_000,
  input: '4000000',
  cache_read: '400000',
  cache_write_5m: '5000000',
  cache_write_1h: '8000000',
  output: '20000000',
}
let shop: ProjectId
before(async () => {
  shop = await api.project('shop')
  await api.call('PUT', '/v1/providers/anthropic', { body: {} })
})

test('a project that has set nothing allows every model and has neither prices nor keys', async () => {
  const { status, body } = await api.call<ProjectSettings>('GET', `${AT}/settings`, { key: api.keys.user })
  assert.deepEqual(
    [status, body],
    [200, { project_id: shop, allowed_models: null, prices: [], keys: [], limits: {}, egress: [], retention: DEFAULT_RETENTION, triggers: DEFAULT_TRIGGERS }],
  )
  assert.equal((await api.call('GET', '/v1/projects/none/settings')).body.code, 'not_found')
})

test('models are allowed by name, and all of them again by null', async () => {
  const { body } = await api.call<ProjectSettings>('PUT', `${AT}/models`, { body: { allowed_models: ['claude-haiku-5', 'vendor/model'] } })
  assert.deepEqual(body.allowed_models, ['claude-haiku-5', 'vendor/model'])
  assert.equal((await api.call('PUT', `${AT}/models`, { body: { allowed_models: [] } })).status, 400)
  assert.equal((await api.call<ProjectSettings>('PUT', `${AT}/models`, { body: { allowed_models: null } })).body.allowed_models, null)
})

test('a price is set for one provider and one model, replaced, and taken back', async () => {
  const path = `${AT}/prices/anthropic/${encodeURIComponent('vendor/model')}`
  const set = await api.call<ProjectSettings>('PUT', path, { body: PRICE })
  assert.equal(set.status, 200, set.text)
  const again = await api.call<ProjectSettings>('PUT', path, { body: { ...PRICE, output: '1' } })
  assert.deepEqual(
    again.body.prices.map(({ provider, model, output }) => [provider, model, output]),
    [['anthropic', 'vendor/model', '1']],
  )
  for (const wrong of [
    { input: '-1' },
    { input: '1.5' },
    { input: 4 },
    { output: '10000000001' },
    { output: '9'.repeat(40) },
    { context_window_tokens: 0 },
    { tiers: [] },
  ]) {
    assert.equal((await api.call('PUT', path, { body: { ...PRICE, ...wrong } })).status, 400, JSON.stringify(wrong))
  }
  assert.equal((await api.call('PUT', `${AT}/prices/nobody/m`, { body: PRICE })).body.code, 'not_found')
  assert.deepEqual((await api.call<ProjectSettings>('DELETE', path)).body.prices, [])
})

test('a key is sealed for its project, its provider and its origin alone, and stands in no answer, event or audit row', async () => {
  const { status, body, text } = await api.call<ProjectSettings>('PUT', `${AT}/keys/anthropic`, { body: { key: 'sk-very-secret' } })
  assert.equal(status, 200, text)
  assert.deepEqual(
    body.keys.map(({ provider, origin }) => [provider, origin]),
    [['anthropic', 'https://api.anthropic.com']],
  )
  const { key_sealed } = await api.db.selectFrom('project_provider_keys').selectAll().executeTakeFirstOrThrow()
  const origin = 'https://api.anthropic.com'
  assert.equal(api.secrets.open(key_sealed, projectKeyContext(shop, 'anthropic', origin)), 'sk-very-secret')
  const other = await api.project('other')
  for (const context of [
    projectKeyContext(other, 'anthropic', origin),
    projectKeyContext(shop, 'openai', origin),
    projectKeyContext(shop, 'anthropic', 'https://evil.example'),
    providerKeyContext('anthropic'),
  ])
    assert.throws(() => api.secrets.open(key_sealed, context), { code: 'internal' })
  const kept = [await api.db.selectFrom('audit_log').select('detail').execute(), await api.db.selectFrom('events').select('data').execute()]
  assert.doesNotMatch(JSON.stringify(kept) + text, /very-secret/)
  assert.deepEqual((await api.call<ProjectSettings>('DELETE', `${AT}/keys/anthropic`)).body.keys, [])
})

test('what machines may reach is set as a whole, in one spelling, each destination once', async () => {
  const put = (...egress: unknown[]) => api.call<ProjectSettings>('PUT', `${AT}/egress`, { body: { egress } })
  const { body } = await put(
    { destination: 'Registry.NPMJS.org.:443' },
    { destination: 'registry.npmjs.org:443' },
    { destination: '*.example.com:443' },
    { destination: '10.0.0.5:5000', private: true },
    { destination: '[fd12:0::5]:5000', private: true },
  )
  assert.deepEqual(body.egress, [
    { destination: '*.example.com:443', private: false },
    { destination: '10.0.0.5:5000', private: true },
    { destination: '[fd12::5]:5000', private: true },
    { destination: 'registry.npmjs.org:443', private: false },
  ])
  for (const wrong of ['example.com', '10.0.0.5:5000', '127.0.0.1:80', '2130706433:80', '*:443', 'a\u0000:1']) {
    const refused = await put({ destination: 'example.com:443' }, { destination: wrong })
    assert.deepEqual([refused.status, JSON.parse(refused.text).code], [400, 'request.invalid'], wrong)
  }
  const pathOf = async (rule: object) => JSON.parse((await put(rule)).text).errors[0].path
  assert.equal(await pathOf({ destination: '10.0.0.5:5000' }), '/egress/0/private', 'a client can tell what would help')
  assert.equal(await pathOf({ destination: '127.0.0.1:80' }), '/egress/0/destination')
  assert.equal((await put({ destination: '169.254.169.254:80', private: true })).status, 400)
  assert.equal((await put({ destination: 'a.example:1', more: 1 })).status, 400)
  assert.equal((await api.call<ProjectSettings>('GET', `${AT}/settings`)).body.egress.length, 4)
  assert.deepEqual((await put()).body.egress, [])
})

test('when checkpoints are taken is set as a whole, completed by what is so by default, and taken back', async () => {
  const put = (body: object) => api.call<ProjectSettings>('PUT', `${AT}/triggers`, { body })
  const { status, body } = await put({ floor_seconds: 30, risky_patterns: ['make deploy'], after_response: 'never' })
  assert.deepEqual([status, body.triggers], [200, { ...DEFAULT_TRIGGERS, floor_seconds: 30, risky_patterns: ['make deploy'], after_response: 'never' }])
  for (const wrong of [
    { floor_seconds: -1 },
    { floor_seconds: 1.5 },
    { every_minutes: 1441 },
    { every_budget_percent: 4 },
    { every_budget_percent: 51 },
    { after_response: 'sometimes' },
    { risky_patterns: ['a;b'] },
    { risky_patterns: ['\ud800'] },
    { risky_patterns: Array(51).fill('a') },
    { more: 1 },
  ])
    assert.equal((await put(wrong)).status, 400, JSON.stringify(wrong))
  assert.equal((await api.call<ProjectSettings>('GET', `${AT}/settings`)).body.triggers.floor_seconds, 30)
  assert.deepEqual((await put({})).body.triggers, DEFAULT_TRIGGERS)
})

test('the living machines of the project hear of a new list, and no others', async () => {
  const [one, other] = [await api.project('one'), await api.project('another')]
  const revisionsOf = async () =>
    (await api.db.selectFrom('machines').select('revision').where('id', 'in', ids).orderBy('name').execute()).map((row) => row.revision)
  const ids = [await api.machine(one, 'hears', 'running'), await api.machine(other, 'hears-not', 'running')]
  const before = await revisionsOf()
  await api.call('PUT', '/v1/projects/one/egress', { body: { egress: [{ destination: 'example.com:443' }] } })
  const [heard = 0n, heardNot = 0n] = before
  assert.deepEqual(await revisionsOf(), [heard + 1n, heardNot])
  await api.call('PUT', '/v1/projects/one/triggers', { body: { floor_seconds: 1 } })
  assert.deepEqual(await revisionsOf(), [heard + 2n, heardNot])
})

test('a run is refused before anything is made when its project does not allow the model, and goes by the prices and keys of the project', async () => {
  await api.project('store')
  await api.call('PUT', '/v1/providers/anthropic', { body: { simulated: true } })
  let number = 0
  const codeOf = async (model: string) => {
    const body = { project: 'store', prompt: 'mend it', budget: '2000000000', model }
    return (await api.call('POST', '/v1/runs', { body, headers: { 'idempotency-key': `run-${++number}` } })).body.code
  }
  assert.equal(await codeOf('claude-opus-5-5'), 'provider.key_missing')
  await api.call('PUT', '/v1/projects/store/keys/anthropic', { body: { key: 'sk-own' } })
  // Nothing is wrong any more but that there is no source yet.
  assert.equal(await codeOf('claude-opus-5-5'), 'project.source_invalid')
  assert.equal(await codeOf('our-own'), 'model.unpriced')
  await api.call('PUT', '/v1/projects/store/prices/anthropic/our-own', { body: PRICE })
  assert.equal(await codeOf('our-own'), 'project.source_invalid')
  await api.call('PUT', '/v1/projects/store/models', { body: { allowed_models: ['our-own'] } })
  assert.deepEqual([await codeOf('our-own'), await codeOf('claude-opus-5-5')], ['project.source_invalid', 'model.not_allowed'])
})
