/** Every route x every kind of caller: the table of roles says what each gets, and no route is outside the table. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ROUTES } from '../security/roles.ts'
import { startTestApi, type TestApi } from './testing/test-api.ts'

const MACHINE_TOKEN = 'avm_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG'
const api = await startTestApi()
await api.machine(await api.project('with-token'), 'with-token', 'ready', MACHINE_TOKEN)
after(() => api.close())

const kindOf = {
  project: 'project',
  machine: 'machine',
  run: 'run',
  checkpoint: 'checkpoint',
  budget: 'budget',
  operation: 'operation',
  key: 'apiKey',
} as const

function urlOf(pattern: string): string {
  const path = pattern.replace(/:([a-z]+)/g, (_whole, name: string) => (name in kindOf ? api.runtime.newId(kindOf[name as keyof typeof kindOf]) : 'nothing'))
  return path.endsWith('/wait') ? `${path}?for=ended` : path
}

test('every route answers each kind of caller as the table of roles says', async (t) => {
  const callers = {
    nobody: null,
    'machine token': MACHINE_TOKEN,
    'well-formed but unknown key': `avk_${'a'.repeat(43)}`,
    user: api.keys.user,
    admin: api.keys.admin,
  }
  const lines: string[] = []
  for (const [route, access] of Object.entries(ROUTES)) {
    const [method = '', pattern = ''] = route.split(' ')
    const seen: Record<string, string> = {}
    for (const [caller, key] of Object.entries(callers)) {
      const { status, body } = await api.call(method, urlOf(pattern), { key, headers: { accept: 'application/json' } })
      seen[caller] = status === 401 || status === 403 ? `${status} ${body.code}` : 'passes'
    }
    assert.deepEqual(
      seen,
      {
        nobody: access === 'public' ? 'passes' : '401 auth.missing',
        'machine token': '401 auth.missing',
        'well-formed but unknown key': '401 auth.missing',
        user: access === 'admin' ? '403 auth.forbidden' : 'passes',
        admin: 'passes',
      },
      route,
    )
    lines.push(`${access.padEnd(6)} ${route}`)
  }
  t.assert.fileSnapshot(`${lines.join('\n')}\n`, new URL('./roles.golden.txt', import.meta.url).pathname, { serializers: [String] })
})

test('the table names exactly the routes that are registered', () => {
  const registered = api.app.printRoutes({ commonPrefix: false, includeHooks: false })
  assert.equal([...registered.matchAll(/\(([A-Z, ]+)\)/g)].flatMap(([, methods = '']) => methods.split(', ')).length, Object.keys(ROUTES).length)
  for (const route of Object.keys(ROUTES)) {
    const [method = '', url = ''] = route.split(' ')
    assert.ok(api.app.hasRoute({ method: method as 'GET', url }), route)
  }
})

test('a route that is not in the table cannot be registered', async () => {
  const { default: Fastify } = await import('fastify')
  const { registerAuth } = await import('./plumbing/auth.ts')
  const app = Fastify() as unknown as TestApi['app']
  registerAuth(app, { db: api.db, runtime: api.runtime } as Parameters<typeof registerAuth>[1])
  assert.throws(() => app.get('/v1/secret-door', async () => 'open'), /does not say who may call GET \/v1\/secret-door/)
  await app.close()
})

test('a path that no route has tells a caller without a key nothing', async () => {
  assert.equal((await api.call('GET', '/v1/nothing', { key: null })).status, 401)
  assert.equal((await api.call('GET', '/v1/nothing')).status, 404)
})

test('a revoked key opens nothing from the next request on', async () => {
  const made = await api.call<{ id: string; secret: string }>('POST', '/v1/api-keys', { body: { name: 'short-lived' } })
  assert.equal((await api.call('GET', '/v1/machines', { key: made.body.secret })).status, 200)
  assert.equal((await api.call('DELETE', `/v1/api-keys/${made.body.id}`)).status, 200)
  const answer = await api.call('GET', '/v1/machines', { key: made.body.secret })
  assert.deepEqual([answer.status, answer.body.code], [401, 'auth.missing'])
})

test('a request addressed to a foreign host name is refused, whatever key it has', async () => {
  for (const host of ['evil.example', 'evil.example:7420', '127.0.0.1.evil.example', '127.0.0.1:7420.evil.example']) {
    const answer = await api.call('GET', '/v1/machines', { headers: { host } })
    assert.deepEqual([answer.status, answer.body.code], [403, 'auth.forbidden'], host)
  }
  for (const host of ['127.0.0.1:7420', 'localhost', '[::1]:7420', 'LOCALHOST:1'])
    assert.equal((await api.call('GET', '/v1/machines', { headers: { host } })).status, 200, host)
})
