/** Readers of what lies in a checkpoint that stop reading: each is cut off, and its place is another's. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { startTestApi } from './testing/test-api.ts'

/** What is read, and how many of it may be under way at once. */
const READS = [
  { route: 'archive', places: 8 },
  { route: 'content?path=project/large', places: 64 },
] as const
/** Far more than the kernel holds for a reader that takes nothing. */
const CONTENT = 'x'.repeat(48 * 1024 * 1024)

const api = await startTestApi({ stalledMs: 1000 })
after(() => api.close())
await api.app.listen({ port: 0, host: '127.0.0.1' })
const { port } = api.app.server.address() as AddressInfo
const checkpoint = await api.checkpoint(await api.machine(await api.project('p'), 'm'), { files: { 'project/large': CONTENT } })

/** Asks, and reads nothing of the answer. */
async function ask(route: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  await once(socket, 'connect')
  socket.pause()
  socket.write(
    `GET /v1/checkpoints/${checkpoint}/${route} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${api.keys.user}\r\nconnection: close\r\n\r\n`,
  )
  return socket
}

for (const { route, places } of READS)
  test(`a reader of ${route} that takes nothing is cut off, no end is shown to it, and its place is free`, { timeout: 120_000 }, async () => {
    const { promise: allCutOff, resolve } = Promise.withResolvers<void>()
    let cutOff = 0
    const count = (socket: Socket) => socket.once('close', () => ++cutOff === places && resolve())
    api.app.server.on('connection', count)
    const readers = await Promise.all(Array.from({ length: places }, () => ask(route)))
    // Not before: whoever reads on then is no longer one that takes nothing.
    await allCutOff
    api.app.server.off('connection', count)
    for (const reader of readers) {
      let [start, end, bytes] = ['', '', 0]
      for await (const chunk of reader) {
        start ||= (chunk as Buffer).subarray(0, 64).toString('latin1')
        end = (end + (chunk as Buffer).subarray(-64).toString('latin1')).slice(-64)
        bytes += (chunk as Buffer).length
      }
      assert.match(start, /^HTTP\/1\.1 200 OK\r\n/)
      assert.doesNotMatch(end, /\r\n0\r\n\r\n$/)
      assert.ok(bytes < CONTENT.length)
    }
    // All of them at once are begun again.
    const answers = await Promise.all(
      Array.from({ length: places }, () =>
        fetch(`http://127.0.0.1:${port}/v1/checkpoints/${checkpoint}/${route}`, { headers: { authorization: `Bearer ${api.keys.user}` } }),
      ),
    )
    for (const { status, body } of answers) {
      assert.equal(status, 200)
      await body?.cancel()
    }
  })
