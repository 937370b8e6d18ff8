import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ClientOptions, ProxmoxClient } from './client.ts'
import { type OwnDoor, ownDoor, SHORT, sendJson } from './test-client.ts'

const VERSION = { version: '9.1.3', release: '9.1', repoid: 'f0e1d2c3', console: 'html5' }
const CREDENTIALS = { kind: 'token', id: 'hub@pve!hub', secret: 'c0ffee00' } as const

async function withDoor(
  options: (door: OwnDoor) => Pick<ClientOptions, 'doors' | 'ca'>,
  use: (client: ProxmoxClient, door: OwnDoor) => Promise<void>,
): Promise<void> {
  const door = await ownDoor((_, response) => sendJson(response, VERSION))
  const client = new ProxmoxClient({ ...options(door), credentials: CREDENTIALS, limits: SHORT })
  try {
    await use(client, door)
  } finally {
    await client.close()
    await door.close()
  }
}

test('a door that shows the pinned certificate is asked, and fields that nobody reads are dropped', () =>
  withDoor(
    ({ url, fingerprint }) => ({ doors: [{ url, fingerprint: fingerprint.toLowerCase() }] }),
    async (client, door) => {
      assert.deepEqual(await client.call('GET /version', {}), { version: '9.1.3', release: '9.1', repoid: 'f0e1d2c3' })
      assert.ok(door.received() > 0)
    },
  ))

for (const [what, pin] of [
  ['another certificate', `${'AB:'.repeat(31)}AB`],
  ['a pin that is empty', ''],
] as const)
  test(`with ${what} not a byte is sent, and a person is called`, () =>
    withDoor(
      ({ url }) => ({ doors: [{ url, fingerprint: pin }] }),
      async (client, door) => {
        await assert.rejects(client.call('GET /version', {}), { code: 'substrate.unavailable', kind: 'wrong certificate', retryable: false })
        assert.equal(door.received(), 0)
      },
    ))

test('a certificate of the authority that is known is taken', () =>
  withDoor(
    ({ url, certificate }) => ({ doors: [{ url }], ca: certificate }),
    async (client) => assert.equal((await client.call('GET /version', {})).version, '9.1.3'),
  ))

test('without pin and authority a certificate that nobody vouches for is refused before anything is sent', () =>
  withDoor(
    ({ url }) => ({ doors: [{ url }] }),
    async (client, door) => {
      await assert.rejects(client.call('GET /version', {}), { kind: 'wrong certificate' })
      assert.equal(door.received(), 0)
    },
  ))
