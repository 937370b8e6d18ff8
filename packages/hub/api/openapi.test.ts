/** The OpenAPI document is the one that is committed; `node --test --test-update-snapshots` writes it anew. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ROUTES } from '../security/roles.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())

interface Document {
  readonly openapi: string
  readonly paths: Record<string, Record<string, { operationId?: string; security?: unknown[]; responses: Record<string, unknown> }>>
  readonly components: { schemas: Record<string, unknown> }
}

test('the document is OpenAPI 3.1 and equals the committed golden file', async (t) => {
  const { status, body } = await api.call<Document>('GET', '/v1/openapi.json', { key: null })
  assert.equal(status, 200)
  assert.equal(body.openapi, '3.1.0')
  t.assert.fileSnapshot(`${JSON.stringify(body, null, 2)}\n`, new URL('../../contract/openapi.json', import.meta.url).pathname, { serializers: [String] })
})

test('it describes every route, with a name of its own and the form of errors', async () => {
  const { body } = await api.call<Document>('GET', '/v1/openapi.json')
  const described = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ route: `${method.toUpperCase()} ${path.replace(/\{([a-z]+)\}/g, ':$1')}`, operation })),
  )
  const expected = Object.keys(ROUTES).filter((route) => route !== 'GET /v1/openapi.json')
  assert.deepEqual(described.map(({ route }) => route).sort(), expected.sort())
  const names = described.map(({ operation }) => operation.operationId)
  assert.ok(names.every((name) => typeof name === 'string'))
  assert.equal(new Set(names).size, names.length)
  for (const { route, operation } of described) assert.ok(JSON.stringify(operation.responses['default']).includes('#/components/schemas/Problem'), route)
})

test('every reference in it leads somewhere', async () => {
  const { body, text } = await api.call<Document>('GET', '/v1/openapi.json')
  const targets = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name = '']) => name)
  assert.ok(targets.length > 50)
  for (const name of targets) assert.ok(name in body.components.schemas, name)
})
