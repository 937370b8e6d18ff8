import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemRuntime } from '../runtime.ts'
import { createDoorListener, type MachineSocketHandler } from './listener.ts'

/** As a Hub that is not ready yet answers. */
const notReady: MachineSocketHandler = (_machineId, _request, socket) => socket.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n')

test('a machine that asks and is gone before it hears the answer harms nobody, whatever it asked for', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'avl-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const listener = createDoorListener((_machineId, _request, response) => response.end('ready'), { connect: notReady, upgrade: notReady })
  t.after(() => listener.closeAll())
  const socketPath = join(folder, 'hub.sock')
  await listener.listen(systemRuntime.newId('machine'), socketPath)

  const asks = ['CONNECT host.test:443 HTTP/1.1\r\nhost: host.test\r\n\r\n', 'GET / HTTP/1.1\r\nhost: hub\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n']
  for (let round = 0; round < 20; round++)
    await Promise.all(
      [...asks, ...asks].map(async (ask) => {
        const socket = connect(socketPath)
        await once(socket, 'connect')
        socket.write(ask)
        socket.destroy()
        await once(socket, 'close')
      }),
    )

  const asked = request({ socketPath, path: '/' }).end()
  const [answer] = await once(asked, 'response')
  assert.equal(answer.statusCode, 200)
  answer.resume()
})
