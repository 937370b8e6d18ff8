import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { type ClientOptions, ProxmoxClient } from './client.ts'
import { ownDoor, SHORT, sendJson } from './test-client.ts'

const VERSION = { version: '9.1.3', release: '9.1', repoid: 'f0e1d2c3' }

async function against(
  answer: Parameters<typeof ownDoor>[0],
  options: Partial<ClientOptions>,
  use: (client: ProxmoxClient, received: () => number) => Promise<void>,
): Promise<void> {
  const door = await ownDoor(answer)
  const client = new ProxmoxClient({
    doors: [door],
    credentials: { kind: 'token', id: 'a@pve!t', secret: 'x' },
    ...options,
    limits: { ...SHORT, ...options.limits },
  })
  try {
    await use(client, door.received)
  } finally {
    await client.close()
    await door.close()
  }
}

test('no more than so many requests are in flight at a door, and no more than so many wait', async () => {
  const held: ServerResponse[] = []
  let most = 0
  let served = 0
  const release = (): void => {
    for (const response of held.splice(0)) {
      served += 1
      sendJson(response, VERSION)
    }
  }
  const answer = (_: unknown, response: ServerResponse): void => {
    held.push(response)
    most = Math.max(most, held.length)
    // Two are kept until both are here, so that both were in flight.
    if (held.length === 2 || served === 4) release()
  }
  await against(answer, { limits: { inFlight: 2, waiting: 3 } }, async (client) => {
    const calls = Array.from({ length: 6 }, () => client.call('GET /version', {}))
    const ends = await Promise.allSettled(calls)
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
    )
    assert.equal((ends[5] as PromiseRejectedResult).reason.code, 'substrate.unavailable')
    assert.equal(most, 2)
  })
})

for (const [what, body] of [
  ['larger than the bound', JSON.stringify({ data: { ...VERSION, repoid: 'x'.repeat(2000) } })],
  ['cut off', '{"data":{"vers'],
  ['of another program', '<html>hello</html>'],
  ['of another shape', JSON.stringify({ data: { version: 9 } })],
] as const)
  test(`an answer that is ${what} is refused as unreadable`, () =>
    against(
      (_, response) => void response.end(body),
      { limits: { mostBodyBytes: 1000 } },
      async (client) => assert.rejects(client.call('GET /version', {}), { code: 'substrate.failed', kind: 'unreadable' }),
    ))

test('a call whose signal is aborted ends at once with the signal’s reason', () => {
  const reason = new Error('no longer wanted')
  const controller = new AbortController()
  return against(
    () => controller.abort(reason),
    {},
    async (client) => {
      await assert.rejects(client.call('GET /version', {}, { signal: controller.signal }), reason)
      await assert.rejects(client.call('GET /version', {}, { signal: controller.signal }), reason)
    },
  )
})

test('an answer that does not begin in time is no answer', () =>
  against(
    () => undefined,
    { limits: { headersMs: 20, repeats: 1 } },
    async (client) => assert.rejects(client.call('GET /version', {}), { code: 'substrate.unavailable', kind: 'unanswered' }),
  ))

test('a name that would lead to another path is refused before anything is sent', () =>
  against(
    (_, response) => sendJson(response, null),
    {},
    async (client, received) => {
      for (const snapname of ['../../101', 'a/b', '..', '', 'a b', 'a%2fb', 'a?b', 'ä'])
        await assert.rejects(client.call('DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname}', { node: 'pve1', vmid: 100, snapname }), {
          code: 'substrate.failed',
        })
      assert.equal(received(), 0)
    },
  ))

test('a ticket that is refused is replaced once, and the call goes on', async () => {
  const asked: string[] = []
  await against(
    (request, response) => {
      asked.push(`${request.method} ${request.url}`)
      if (request.url === '/api2/json/access/ticket') sendJson(response, { ticket: `PVE:${asked.length}`, CSRFPreventionToken: 'c' })
      else if (request.headers.cookie === 'PVEAuthCookie=PVE%3A1') sendJson(response, null, 401)
      else sendJson(response, VERSION)
    },
    { credentials: { kind: 'ticket', username: 'a@pve', password: 'x' } },
    async (client) => assert.deepEqual(await client.call('GET /version', {}), VERSION),
  )
  assert.deepEqual(asked, ['POST /api2/json/access/ticket', 'GET /api2/json/version', 'POST /api2/json/access/ticket', 'GET /api2/json/version'])
})
