/** Attempts on the machine's own socket: with somebody else's token, after the end, with frames too large, too many or never finished. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { DOOR_LIMITS } from '@autovibe/contract'
import { startTestApi } from '../../packages/hub/api/testing/test-api.ts'
import { openDoorGround } from '../../packages/hub/door/testing.ts'
import { hold, say } from './wire.ts'

const ground = await openDoorGround()
const api = await startTestApi()
after(async () => {
  await api.close()
  await ground.close()
})
const { pool } = ground.database

test('the token of a machine opens its own door and no other', async () => {
  const [one, other] = [await ground.registered(), await ground.registered()]
  assert.equal((await one.ask('GET', '/instructions')).status, 200)
  for (const [caller, token] of [
    [one, other.token],
    [other, one.token],
    [one, ''],
    [one, `${one.token}x`],
  ] as const) {
    const answer = await caller.ask('GET', '/instructions', undefined, token)
    assert.deepEqual([answer.status, answer.body['code']], [401, 'auth.missing'])
  }
})

test('a machine does not speak of the run of another', async () => {
  const [one, other] = [await ground.registered(), await ground.registered()]
  assert.equal((await one.tell(one.told(1))).status, 200)
  assert.equal((await one.tell(one.told(2, { run_id: other.runId }))).body['code'], 'auth.forbidden')
  const report = { state: 'failed', reason: 'taken over', summary: null, check_result: null, agent_reported_cost: null }
  assert.notEqual((await one.ask('PUT', `/runs/${other.runId}/state`, report)).status, 200)
  const { rows } = await pool.query('select state from runs where id = $1', [other.runId])
  assert.equal(rows[0].state, 'running')
})

test('the token of a machine opens nothing of the API for people', async () => {
  const token = 'avm_a-token-of-a-machine'
  await api.machine(await api.project('escape'), 'escape', 'ready', token)
  for (const url of ['/v1/machines', '/v1/projects', '/v1/hub', '/v1/events']) {
    assert.notEqual((await api.call('GET', url === '/v1/events' ? '/v1/runs' : url)).status, 401)
    assert.equal((await api.call('GET', url, { key: token })).status, 401)
  }
})

test('the token is void when its machine is destroyed', async () => {
  const one = await ground.registered()
  assert.equal((await one.ask('GET', '/instructions')).status, 200)
  // As destroy-machine leaves it.
  await pool.query('update machines set token_hash = null where id = $1', [one.id])
  assert.equal((await one.ask('GET', '/instructions')).status, 401)
  assert.equal((await one.tell(one.told(1))).status, 401)
})

test('the door is no proxy: other hosts, tunnels and upgrades lead nowhere', async () => {
  const one = await ground.registered()
  // A proxy would bring this in: a listener of the test's own.
  const behind = createServer((_, response) => response.end('behind')).listen(0, '127.0.0.1')
  await once(behind, 'listening')
  const { port } = behind.address() as { port: number }
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'behind')
  const auth = `Authorization: Bearer ${one.token}\r\nConnection: close\r\n\r\n`
  for (const request of [
    `GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${auth}`,
    `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${auth}`,
    `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /door/instructions HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`,
    `GET /door/../../../../etc/passwd HTTP/1.1\r\nHost: hub\r\n${auth}`,
    `GET /door/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: hub\r\n${auth}`,
    `TRACE /door/instructions HTTP/1.1\r\nHost: hub\r\n${auth}`,
  ]) {
    const { statuses, text } = await say(one.socketPath, request, 1)
    assert.ok(!text.includes('behind') && !text.includes('root:') && statuses.every((status) => status >= 400), `${request}\n${text}`)
  }
  behind.close()
})

test('headers and bodies that are too large are refused unread', async () => {
  const one = await ground.registered()
  const auth = `Host: hub\r\nAuthorization: Bearer ${one.token}\r\n`
  assert.deepEqual((await say(one.socketPath, `GET /door/instructions HTTP/1.1\r\n${auth}X: ${'x'.repeat(70_000)}\r\n\r\n`)).statuses, [431])
  const many = Array.from({ length: 5_000 }, (_, i) => `X-${i}: y\r\n`).join('')
  assert.deepEqual((await say(one.socketPath, `GET /door/instructions HTTP/1.1\r\n${auth}${many}\r\n`)).statuses, [431])
  const post = `POST /door/events HTTP/1.1\r\n${auth}Content-Type: application/json\r\nConnection: close\r\n`
  assert.deepEqual((await say(one.socketPath, `${post}Content-Length: ${DOOR_LIMITS.bodyBytes + 1}\r\n\r\n`, 1)).statuses, [413])
  const chunk = 'x'.repeat(1024 * 1024)
  const endless = `${post}Transfer-Encoding: chunked\r\n\r\n${`100000\r\n${chunk}\r\n`.repeat(6)}`
  assert.deepEqual((await say(one.socketPath, endless, 1)).statuses, [413])
})

test('a deep or crooked document does not break the door', async () => {
  const one = await ground.registered()
  const post = (body: string): Promise<{ statuses: readonly number[] }> =>
    say(
      one.socketPath,
      `POST /door/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer ${one.token}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      1,
    )
  for (const body of [
    '['.repeat(1_000_000),
    '{"__proto__":{"machineId":"x"}}',
    '{"constructor":{"prototype":{}}}',
    '{',
    'null',
    `{"boot_id":${'9'.repeat(100_000)}}`,
  ])
    assert.deepEqual((await post(body)).statuses, [400])
  assert.equal((await one.ask('GET', '/instructions')).status, 200)
})

test('requests that are never finished hold up no other machine, and only so many are held', async () => {
  const [slow, other] = [await ground.registered(), await ground.registered()]
  const held = await Promise.all(Array.from({ length: 64 }, () => hold(slow.socketPath, 'POST /door/events HTTP/1.1\r\nHost: hub\r\nX: ')))
  try {
    // The 65th is closed without an answer; outside of the bound it would be heard, as below.
    assert.deepEqual((await say(slow.socketPath, 'GET /door/instructions HTTP/1.1\r\nHost: hub\r\n\r\n')).statuses, [])
    assert.equal((await other.ask('GET', '/instructions')).status, 200)
  } finally {
    for (const socket of held) socket.destroy()
    await Promise.all(held.map((socket) => socket.closed || once(socket, 'close')))
  }
})

test('a thousand requests in one breath are refused after the burst, and hold up no other machine', async () => {
  const [flood, other] = [await ground.registered(), await ground.registered()]
  const request = `GET /door/instructions HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer ${flood.token}\r\n\r\n`
  const [{ statuses }, answer] = await Promise.all([say(flood.socketPath, request.repeat(1_000), 1_000), other.ask('GET', '/instructions')])
  assert.equal(answer.status, 200)
  assert.equal(statuses.length, 1_000)
  assert.ok(statuses.filter((status) => status === 429).length > 300, `${statuses.filter((status) => status === 200).length} were answered`)
})

test('a flood of events is cut off at what is kept of one run, and that is recorded', async () => {
  const one = await ground.registered()
  const data = { text: 'x'.repeat(60_000) }
  // The run's room but for the last of it, as the flood would have filled it over some minutes.
  await pool.query(
    `insert into events (id, type, at, machine_id, run_id, data) values ($1, 'run.message', now(), $2, $3, jsonb_build_object('text', repeat('x', $4::int)))`,
    [api.runtime.newId('event'), one.id, one.runId, DOOR_LIMITS.runBytes - 100_000],
  )
  assert.equal((await one.tell(one.told(1, { data }))).status, 200)
  const refused = await one.tell(one.told(2, { data }))
  assert.deepEqual([refused.status, refused.body['code']], [413, 'run.events_full'])
  const { rows } = await pool.query(`select count(*)::int as kept from events where run_id = $1 and type = 'run.events_full'`, [one.runId])
  assert.equal(rows[0].kept, 1)
})
