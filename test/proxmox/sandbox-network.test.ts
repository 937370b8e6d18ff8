import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { until } from '../support/until.ts'
import type { Network } from './guests.ts'
import { bootOf, fencedNetwork, openNetwork, type Ran, ranBy, sandboxRefused } from './guests-stage.ts'
import { SandboxGuests } from './sandbox-guests.ts'

const DOOR = { address: '10.90.0.1', port: 8443 }
const ELSEWHERE = { address: '10.90.0.2', port: 22 }
const LOCAL = { address: '127.0.0.1', port: 7001 }
/** Says what it is told, reads to the end and prints what it heard. */
const ASKS = `
const [host, port, text] = process.argv.slice(1)
const socket = require('node:net').connect({ host, port, allowHalfOpen: true }, () => socket.end(text))
socket.on('error', (error) => { console.log(error.code); process.exit(1) })
socket.pipe(process.stdout)`
/** Says one line for each line that it hears, for as long as its connection stands. */
const STAYS = `
const [host, port] = process.argv.slice(1)
const socket = require('node:net').connect({ host, port }, () => require('node:fs').writeFileSync('/run/up', ''))
socket.on('error', () => {}).on('close', () => process.exit(7))`

const skip = sandboxRefused()
let server: Server
const heard: string[] = []
const sockets = new Set<Socket>()
before(async () => {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    let text = ''
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => {
      text += String(chunk)
    })
    socket.on('end', () => {
      heard.push(text)
      socket.end(`heard ${text}`)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
after(() => server.close())

async function started(t: TestContext, network: Network): Promise<SandboxGuests> {
  const to = { host: '127.0.0.1', port: (server.address() as { port: number }).port }
  const guests = await SandboxGuests.open({
    root: await mkdtemp(join(tmpdir(), 'sbx-')),
    command: () => ['/bin/sleep', '1000'],
    reachable: () => [DOOR, ELSEWHERE, LOCAL].map((place) => ({ ...place, to })),
  })
  t.after(() => guests.close())
  await guests.start(bootOf(100, [], { network }))
  return guests
}
const dial = (guests: SandboxGuests, to: { readonly address: string; readonly port: number }, text = 'hello'): Promise<Ran> =>
  ranBy(guests.agent(100), [process.execPath, '-e', ASKS, to.address, `${to.port}`, text])

/** Where the rules refuse, a connection ends before a byte of it has gone anywhere. */
async function isRefused(guests: SandboxGuests, to: { readonly address: string; readonly port: number }): Promise<void> {
  const before = heard.length
  assert.match((await dial(guests, to)).out, /^(ECONNRESET|EPIPE)\n$/)
  assert.equal(heard.length, before)
}

test('an open VM reaches each place by its own address, with half-closed connections and all bytes', { skip }, async (t) => {
  const guests = await started(t, openNetwork)
  for (const place of [DOOR, ELSEWHERE, LOCAL]) assert.equal((await dial(guests, place)).out, 'heard hello')
  const long = 'x'.repeat(100_000)
  assert.equal((await dial(guests, DOOR, long)).out, `heard ${long}`)
  const usage = guests.usage(100)
  assert.ok(usage.netOutBytes >= 100_015 && usage.netInBytes >= 100_015)
})

test('what is not a declared place does not exist for a guest, the host’s own loopback neither', { skip }, async (t) => {
  const guests = await started(t, openNetwork)
  const real = { address: '127.0.0.1', port: (server.address() as { port: number }).port }
  const before = heard.length
  assert.equal((await dial(guests, real)).out, 'ECONNREFUSED\n')
  assert.equal((await dial(guests, { address: '192.0.2.1', port: 80 })).out, 'ENETUNREACH\n')
  assert.equal(heard.length, before)
})

test('a fenced VM reaches what its rules accept and nothing else, and a change holds at once', { skip }, async (t) => {
  const toDoor = { protocol: 'tcp', destination: DOOR.address, destinationPort: `${DOOR.port}` }
  const guests = await started(t, fencedNetwork(toDoor))
  assert.equal((await dial(guests, DOOR)).out, 'heard hello')
  for (const place of [ELSEWHERE, LOCAL]) await isRefused(guests, place)
  assert.equal(guests.running.get(100)?.network.refused, 2)
  await guests.networkChanged(100, fencedNetwork())
  await isRefused(guests, DOOR)
  assert.deepEqual(guests.running.get(100)?.network.network.rules, [], 'the rules that stand can be read')
  await guests.reset(100)
  await isRefused(guests, DOOR)
  await guests.networkChanged(100, openNetwork)
  assert.equal((await dial(guests, LOCAL)).out, 'heard hello')
})

test('a standing connection survives new rules, and ends with the last card', { skip }, async (t) => {
  const guests = await started(t, openNetwork)
  const agent = guests.agent(100)
  assert.ok(agent)
  const { pid } = (await agent.execute('guest-exec', { path: process.execPath, arg: ['-e', STAYS, DOOR.address, `${DOOR.port}`] })) as { pid: number }
  await until('it is connected', 60_000, async () => ((await ranBy(agent, ['/bin/cat', '/run/up'])).exitcode === 0 && sockets.size === 1) || undefined)
  await guests.networkChanged(100, fencedNetwork())
  await isRefused(guests, DOOR)
  assert.deepEqual(await agent.execute('guest-exec-status', { pid }), { exited: false })
  assert.equal(sockets.size, 1)
  await guests.networkChanged(100, { ...fencedNetwork(), nics: [] })
  const ended = await until('its connection ends', 60_000, async () => {
    const status = (await agent.execute('guest-exec-status', { pid })) as { exited: boolean; exitcode?: number }
    return status.exited ? status : undefined
  })
  assert.equal(ended.exitcode, 7)
  await until('also on the other side', 60_000, async () => sockets.size === 0 || undefined)
})

test('with the VM its connections end', { skip }, async (t) => {
  const guests = await started(t, openNetwork)
  await guests.agent(100)?.execute('guest-exec', { path: process.execPath, arg: ['-e', STAYS, DOOR.address, `${DOOR.port}`] })
  await until('it is connected', 60_000, async () => sockets.size === 1 || undefined)
  await guests.stop(100)
  await until('it is not any more', 60_000, async () => sockets.size === 0 || undefined)
})
