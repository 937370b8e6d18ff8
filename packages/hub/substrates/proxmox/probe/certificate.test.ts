import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { ownDoor } from '../client/test-client.ts'
import { certificateOf } from './certificate.ts'

const soon = (): AbortSignal => AbortSignal.timeout(10_000)

test('the certificate of a door is told, and nothing was sent to it', async () => {
  const door = await ownDoor((_, response) => response.end())
  const told = await certificateOf(door.url, soon())
  assert.deepEqual([told.url, told.fingerprint, told.trusted], [door.url, door.fingerprint, false])
  assert.match(told.subject, /CN=localhost/)
  assert.ok(Date.parse(told.valid_to) > Date.now())
  assert.equal(door.received(), 0)
  await door.close()
})

test('what does not speak TLS, closes at once or is not there has no certificate', async () => {
  for (const words of ['HTTP/1.1 200 OK\r\n\r\n', '']) {
    const server = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end(words),
    ).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    await assert.rejects(certificateOf(url, soon()), { code: 'substrate.unavailable' }, words)
    server.close()
    await once(server, 'close')
    await assert.rejects(certificateOf(url, soon()), { code: 'substrate.unavailable' })
  }
})

test('whoever says nothing is left when patience ends, or is not asked when it has ended', async () => {
  const patience = new AbortController()
  const server = createServer((socket) => {
    socket.on('error', () => undefined).resume()
    // The greeting has come, and no answer will.
    socket.once('data', () => patience.abort())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (let turn = 0; turn < 2; turn += 1) await assert.rejects(certificateOf(url, patience.signal), /no answer in time/)
  server.close()
  await once(server, 'close')
})
