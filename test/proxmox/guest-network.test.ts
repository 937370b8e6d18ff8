import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'

const NETWORK = new URL('guest-network.ts', import.meta.url).href
const STAGE = new URL('guests-stage.ts', import.meta.url).href
/** A guest's connection is cut while the end that its place has said is on its way to it. */
const CUT_AT_THE_END = `
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { GuestNetwork } from '${NETWORK}'
import { openNetwork } from '${STAGE}'
const place = createServer((socket) => socket.on('error', () => undefined).end('all')).listen(0, '127.0.0.1')
const inside = createServer().listen(0, '127.0.0.1')
await Promise.all([once(place, 'listening'), once(inside, 'listening')])
const network = new GuestNetwork(openNetwork)
network.joins(inside, { address: '10.90.0.1', port: 8443, to: { host: '127.0.0.1', port: place.address().port } })
inside.on('connection', (socket) => {
  const end = socket.end
  socket.end = () => {
    end.call(socket)
    process.nextTick(() => process.nextTick(() => network.close()))
    place.close()
    return socket
  }
})
connect({ host: '127.0.0.1', port: inside.address().port, allowHalfOpen: true }).on('error', () => undefined).on('end', () => console.log('ended')).resume()
`

test('a connection that is cut while an end is on its way is gone, and so its process can end', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', CUT_AT_THE_END], {
    encoding: 'utf8',
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: 'ended\n', stderr: '' })
})
