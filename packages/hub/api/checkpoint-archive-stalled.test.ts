/** Readers of an archive that stop reading: each is cut off, and its place is another's. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { startTestApi } from './testing/test-api.ts'

/** As many as may be under way at once. */
const PLACES = 8
/** Far more than the kernel holds for a reader that takes nothing. */
const CONTENT = 'x'.repeat(48 * 1024 * 1024)

const api = await startTestApi({ stalledMs: 1000 })
after(() => api.close())
await api.app.listen({ port: 0, host: '127.0.0.1' })
const { port } = api.app.server.address() as AddressInfo
const checkpoint = await api.checkpoint(await api.machine(await api.project('p'), 'm'), { files: { 'project/large': CONTENT } })

/** Asks for the archive, and reads nothing of the answer. */
async function ask(): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  await once(socket, 'connect')
  socket.pause()
  socket.write(
    `GET /v1/checkpoints/${checkpoint}/archive HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${api.keys.user}\r\nconnection: close\r\n\r\n`,
  )
  return socket
}

test('a reader that takes nothing is cut off, no end is shown to it, and its place is free', { timeout: 60_000 }, async () => {
  const { promise: allCutOff, resolve } = Promise.withResolvers<void>()
  let cutOff = 0
  api.app.server.on('connection', (socket: Socket) => socket.once('close', () => ++cutOff === PLACES && resolve()))
  const readers = await Promise.all(Array.from({ length: PLACES }, ask))
  // Not before: whoever reads on then is no longer one that takes nothing.
  await allCutOff
  for (const reader of readers) {
    let [start, end] = ['', '']
    for await (const chunk of reader) {
      start ||= (chunk as Buffer).subarray(0, 64).toString('latin1')
      end = (end + (chunk as Buffer).subarray(-64).toString('latin1')).slice(-64)
    }
    assert.match(start, /^HTTP\/1\.1 200 OK\r\n/)
    assert.doesNotMatch(end, /\r\n0\r\n\r\n$/)
  }
  // All of them at once are begun again.
  const answers = await Promise.all(
    Array.from({ length: PLACES }, () =>
      fetch(`http://127.0.0.1:${port}/v1/checkpoints/${checkpoint}/archive`, { headers: { authorization: `Bearer ${api.keys.user}` } }),
    ),
  )
  for (const { status, body } of answers) {
    assert.equal(status, 200)
    await body?.cancel()
  }
})
