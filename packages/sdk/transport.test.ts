import assert from 'node:assert/strict'
import test from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { Autovibe } from './client.ts'
import { json, problem, startTestHub } from './testing.ts'

const failure = (promise: Promise<unknown>): Promise<AutovibeError> =>
  promise.then(
    () => {
      throw new assert.AssertionError({ message: 'it did not fail' })
    },
    (thrown: unknown) => {
      assert.ok(thrown instanceof AutovibeError, String(thrown))
      return thrown
    },
  )

test('a request carries the key, who asks, and its body as JSON', async () => {
  await using hub = await startTestHub((_asked, response) => json(response, { id: 'prj_x' }, 201))
  assert.deepEqual(await hub.client.projects.create({ name: 'demo' }), { id: 'prj_x' })
  const [asked] = hub.asked
  assert.deepEqual([asked?.method, asked?.url.pathname, asked?.body], ['POST', '/v1/projects', '{"name":"demo"}'])
  assert.deepEqual(
    [asked?.headers.authorization, asked?.headers['user-agent'], asked?.headers['content-type']],
    ['Bearer avk_test', 'test/1', 'application/json'],
  )
})

test('a problem document becomes an error with its code, sentence, fix and request id', async () => {
  const body = problem('budget.insufficient', 402, { fix: 'autovibe budget set', request_id: 'req-1', errors: [{ path: 'budget', message: 'too small' }] })
  await using hub = await startTestHub((_asked, response) => json(response, body, 402))
  const error = await failure(hub.client.runs.get('run_x'))
  assert.deepEqual(
    [error.code, error.message, error.fix, error.requestId, error.retryable, error.exitCode],
    ['budget.insufficient', 'it was budget.insufficient', 'autovibe budget set', 'req-1', false, 7],
  )
  assert.deepEqual(error.errors, [{ path: 'budget', message: 'too small' }])
  assert.equal(hub.asked.length, 1, 'what will not change is not asked again')
})

test('an error without a document is told by its status', async () => {
  await using hub = await startTestHub((_asked, response) => response.writeHead(404).end('<html>'))
  assert.equal((await failure(hub.client.runs.get('x'))).code, 'not_found')
  hub.answer = (_asked, response) => response.writeHead(401).end()
  assert.equal((await failure(hub.client.runs.get('x'))).code, 'auth.missing')
  hub.answer = (_asked, response) => response.writeHead(500).end('oops')
  assert.equal((await failure(hub.client.runs.get('x'))).code, 'internal')
  hub.answer = (_asked, response) => response.writeHead(200).end('not json')
  assert.equal((await failure(hub.client.runs.get('x'))).code, 'internal')
})

test('a code that this version does not know reads as internal and keeps its words', async () => {
  await using hub = await startTestHub((_asked, response) => json(response, problem('moon.full', 400, { fix: 'wait' }), 400))
  const error = await failure(hub.client.runs.get('x'))
  assert.deepEqual([error.code, error.message, error.fix], ['internal', 'it was moon.full', 'wait'])
})

test('nobody at the address is hub.unreachable, retryable, with the reason and a fix', async () => {
  const hub = await startTestHub(() => undefined)
  const { url } = hub
  await hub[Symbol.asyncDispose]()
  const error = await failure(new Autovibe({ url, key: 'k', attempts: 1 }).machines.get('x'))
  assert.deepEqual([error.code, error.retryable, error.fix], ['hub.unreachable', true, 'autovibe up'])
  assert.match(error.message, /ECONNREFUSED/)
})

test('a POST that may have arrived is sent again with the same Idempotency-Key, and another call has another', async () => {
  await using hub = await startTestHub((_asked, response, index) => {
    if (index === 0) response.destroy()
    else if (index === 1) json(response, problem('hub.database', 503, { retryable: true }), 503, { 'retry-after': '0' })
    else json(response, { id: 'x' })
  })
  await hub.client.projects.create({ name: 'a' })
  await hub.client.projects.create({ name: 'a' })
  const keys = hub.asked.map(({ headers }) => headers['idempotency-key'])
  assert.equal(keys.length, 4)
  assert.ok(keys[0])
  assert.deepEqual([keys[1], keys[2]], [keys[0], keys[0]])
  assert.notEqual(keys[3], keys[0])
})

test('a first request that is still under way is waited for', async () => {
  await using hub = await startTestHub((_asked, response, index) =>
    index === 0 ? json(response, problem('idempotency.in_flight', 409, { retryable: true }), 409, { 'retry-after': '0' }) : json(response, { id: 'x' }),
  )
  await hub.client.projects.create({ name: 'a' })
  assert.equal(hub.asked.length, 2)
})

test('retries end: the last error is thrown after three attempts', async () => {
  await using hub = await startTestHub((_asked, response) =>
    json(response, problem('substrate.unavailable', 503, { retryable: true }), 503, { 'retry-after': '0' }),
  )
  assert.equal((await failure(hub.client.machines.get('x'))).code, 'substrate.unavailable')
  assert.equal(hub.asked.length, 3)
})

test('a Retry-After beyond patience is thrown instead of slept through', async () => {
  await using hub = await startTestHub((_asked, response) =>
    json(response, problem('request.rate_limited', 429, { retryable: true }), 429, { 'retry-after': '3600' }),
  )
  assert.equal((await failure(hub.client.machines.get('x'))).code, 'request.rate_limited')
  assert.equal(hub.asked.length, 1)
})

test('a PATCH is sent once, with the version it was read at', async () => {
  await using hub = await startTestHub((_asked, response) => json(response, problem('hub.database', 503, { retryable: true }), 503, { 'retry-after': '0' }))
  await failure(hub.client.budgets.update({ id: 'bud_x', version: 7 } as never, { limit: '5' }))
  assert.equal(hub.asked.length, 1)
  assert.equal(hub.asked[0]?.headers['if-match'], '"7"')
})

test('an abort ends a request and a pause before a retry with its own reason', async () => {
  const reason = new Error('enough')
  const abort = new AbortController()
  await using hub = await startTestHub((_asked, response) => {
    json(response, problem('hub.database', 503, { retryable: true }), 503, { 'retry-after': '20' })
    abort.abort(reason)
  })
  await assert.rejects(hub.client.machines.get('x', { signal: abort.signal }), reason)
  await assert.rejects(hub.client.machines.get('x', { signal: AbortSignal.abort(reason) }), reason)
  assert.equal(hub.asked.length, 1)
})

test('a source is sent as bytes, and again as the same bytes', async () => {
  await using hub = await startTestHub((_asked, response, index) => (index === 0 ? response.destroy() : json(response, {})))
  await hub.client.projects.putSource('demo', new Blob(['bundle']), { commit: 'c', baseCommit: 'b', branch: 'main', dirty: true })
  assert.deepEqual(
    hub.asked.map(({ body }) => body),
    ['bundle', 'bundle'],
  )
  assert.equal(hub.asked[1]?.url.search, '?commit=c&base_commit=b&branch=main&dirty=true')
})

test('names and ids cannot leave their place in the path', async () => {
  await using hub = await startTestHub((_asked, response) => json(response, {}))
  await hub.client.machines.get('../budgets?x=#y')
  assert.equal(hub.asked[0]?.url.pathname, '/v1/machines/..%2Fbudgets%3Fx%3D%23y')
})

test('a list is walked page by page, and not further than needed', async () => {
  await using hub = await startTestHub((asked, response) => {
    const at = Number(asked.url.searchParams.get('cursor') ?? 0)
    json(response, { items: [{ id: at }, { id: at + 1 }], next_cursor: at >= 4 ? null : String(at + 2) })
  })
  const ids: unknown[] = []
  for await (const machine of hub.client.machines.list({ all: true })) ids.push(machine.id)
  assert.deepEqual(ids, [0, 1, 2, 3, 4, 5])
  assert.equal(hub.asked[0]?.url.searchParams.get('all'), 'true')
  hub.asked.length = 0
  assert.equal((await hub.client.machines.list().take(2)).length, 2)
  assert.equal(hub.asked.length, 1)
})

test('a cursor that does not move ends the walk', async () => {
  await using hub = await startTestHub((_asked, response) => json(response, { items: [{ id: 1 }], next_cursor: 'same' }))
  assert.equal((await hub.client.machines.list().take(100)).length, 2)
})

test('a wait goes on beyond one request, through an outage, until it is over', async () => {
  const states = ['running', 'running', 'gone', 'succeeded']
  await using hub = await startTestHub((_asked, response, index) => {
    const state = states[index] ?? 'succeeded'
    if (state === 'gone') response.destroy()
    else json(response, { state })
  })
  const run = await hub.client.runs.wait('run_x', 'ended')
  assert.equal(run.state, 'succeeded')
  assert.ok(
    hub.asked.every(
      ({ url }) => url.pathname === '/v1/runs/run_x/wait' && url.searchParams.get('for') === 'ended' && Number(url.searchParams.get('timeout')) <= 60,
    ),
  )
})

test('a wait with a time limit ends with operation.deadline', async () => {
  await using hub = await startTestHub((_asked, response) => json(response, { state: 'running' }))
  assert.equal((await failure(hub.client.operations.wait('opr_x', { timeoutMs: 1 }))).code, 'operation.deadline')
})

test('a wait is over when the wanted state cannot come any more', async () => {
  await using hub = await startTestHub((_asked, response) => json(response, { state: 'corrupt' }))
  assert.equal((await hub.client.checkpoints.wait('ckp_x', 'verified')).state, 'corrupt')
  hub.answer = (_asked, response) => json(response, { state: 'failed', operation_id: null })
  assert.equal((await hub.client.machines.wait('mch_x', 'ready')).state, 'failed')
  hub.answer = (_asked, response) => json(response, { state: 'stuck' })
  assert.equal((await hub.client.operations.wait('opr_x')).state, 'stuck')
})
