/** The loopback port inside a machine: what tools reach through it, that the Hub has the last word, and that none of them needs the machine's token. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { commandEnvironment } from '../process/command.ts'
import { proxyEnvironment, tellOf } from './environment.ts'
import { openLoopback } from './loopback.ts'

const TOKEN = 'the-token-of-the-machine'
const run = promisify(execFile)
const skip = spawnSync('curl', ['--version']).status === 0 ? false : 'curl is not installed'
const folder = mkdtempSync(join(tmpdir(), 'avloop-'))
const socketPath = join(folder, 'hub.sock')
const sockets = new Set<Socket>()

/** What the world is: an HTTP server that says what it was asked. */
const world = createServer((req, res) => {
  const pieces: Buffer[] = []
  req.on('data', (piece: Buffer) => pieces.push(piece))
  req.on('end', () => {
    if (req.url === '/redirect') return void res.writeHead(302, { location: 'http://elsewhere.test/' }).end()
    res
      .writeHead(200, 'As asked', { 'x-from': 'world', connection: 'close' })
      .end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, body: Buffer.concat(pieces).toString() }))
  })
})
world.listen(0, '127.0.0.1')
await once(world, 'listening')
const worldPort = (world.address() as AddressInfo).port

/** What the Hub is to this port: one socket that answers CONNECT and the gateway; it lets through to allowed.test alone. */
const asked: { readonly url: string; readonly token: string | undefined }[] = []
const hub = createServer((req, res) => {
  asked.push({ url: `${req.method} ${req.url}`, token: req.headers.authorization })
  res.writeHead(200, { 'x-key': String(req.headers['x-api-key']) })
  req.pipe(res)
})
hub.on('connection', (socket) => {
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
})
hub.on('connect', (req: IncomingMessage, socket: Socket, head: Buffer) => {
  asked.push({ url: `CONNECT ${req.url}`, token: req.headers['proxy-authorization'] })
  if (!req.url?.startsWith('allowed.test:'))
    return void socket.end(
      'HTTP/1.1 403 Forbidden (do this)\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n{"code":"egress.not_allowed"}',
    )
  const upstream = connect(worldPort, '127.0.0.1')
  socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
  upstream.write(head)
  socket.pipe(upstream).pipe(socket)
  for (const side of [socket, upstream]) side.on('error', () => undefined)
})
hub.listen(socketPath)
await once(hub, 'listening')
const loopback = await openLoopback({ socketPath, token: TOKEN })
after(async () => {
  loopback.close()
  for (const socket of sockets) socket.destroy()
  hub.close()
  world.close()
  world.closeAllConnections()
  rmSync(folder, { recursive: true, force: true })
})

const curl = async (...args: string[]) => {
  tellOf(loopback, true)
  const { stdout } = await run('curl', ['-sS', '-i', '--max-time', '10', ...args], { env: { PATH: process.env['PATH'], ...proxyEnvironment() } })
  return stdout
}
const proxied = (headers: Record<string, string>, method: string, path: string): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(loopback.url)
    const sent = request({ hostname, port, method, path, headers, agent: false })
    sent.once('error', reject)
    sent.once('response', resolve)
    sent.once('connect', resolve)
    sent.end()
  })
const key = () => ({ 'proxy-authorization': `Basic ${Buffer.from(`machine:${loopback.key}`).toString('base64')}` })

test('a tool that knows nothing but the usual variables reaches what is allowed, by CONNECT and by plain http', { skip }, async () => {
  asked.length = 0
  const tunnelled = await curl('--proxytunnel', 'http://allowed.test:8080/one?x=1')
  assert.match(tunnelled, /^HTTP\/1\.1 200 Connection established\r\n/)
  assert.match(tunnelled, /"url":"\/one\?x=1"/)
  const plain = await curl('-d', 'some words', 'http://allowed.test/two?y=2')
  assert.match(plain, /^HTTP\/1\.1 200 As asked\r\nx-from: world\r\n/)
  const said = JSON.parse(plain.slice(plain.indexOf('{')))
  assert.deepEqual([said.method, said.url, said.body, said.headers.host], ['POST', '/two?y=2', 'some words', 'allowed.test'])
  assert.equal(said.headers['proxy-authorization'], undefined)
  assert.deepEqual(asked, [
    { url: 'CONNECT allowed.test:8080', token: `Bearer ${TOKEN}` },
    { url: 'CONNECT allowed.test:80', token: `Bearer ${TOKEN}` },
  ])
})

test("what the Hub refuses, the tool hears in the Hub's own words, and a redirect is followed by nobody but the tool, which asks again", { skip }, async () => {
  assert.match(await curl('http://other.test/'), /^HTTP\/1\.1 403 Forbidden \(do this\)\r\n[\s\S]*\{"code":"egress\.not_allowed"\}$/)
  const answer = await proxied(key(), 'CONNECT', 'other.test:443')
  assert.deepEqual([answer.statusCode, answer.statusMessage], [403, 'Forbidden (do this)'])
  asked.length = 0
  assert.match(await curl('http://allowed.test/redirect'), /^HTTP\/1\.1 302 /)
  assert.match(await curl('-L', 'http://allowed.test/redirect'), /HTTP\/1\.1 403 Forbidden/)
  assert.deepEqual(
    asked.map(({ url }) => url),
    ['CONNECT allowed.test:80', 'CONNECT allowed.test:80', 'CONNECT elsewhere.test:80'],
  )
})

test("the gateway is reached with the port's key, which is changed for the machine's token on the way", async () => {
  for (const given of [{ 'x-api-key': loopback.key }, { authorization: `Bearer ${loopback.key}` }]) {
    asked.length = 0
    const response = await fetch(`${loopback.url}/gateway/v1/messages?beta=true`, { method: 'POST', body: 'a call', headers: given })
    assert.deepEqual([response.status, await response.text(), response.headers.get('x-key')], [200, 'a call', 'undefined'])
    assert.deepEqual(asked, [{ url: 'POST /gateway/v1/messages?beta=true', token: `Bearer ${TOKEN}` }])
  }
})

test('without the key of the port nothing is passed on, and beside proxy and gateway there is nothing', async () => {
  asked.length = 0
  for (const headers of [
    {},
    { 'proxy-authorization': `Bearer ${loopback.key}` },
    { 'x-api-key': TOKEN },
    { 'proxy-authorization': 'Basic bWFjaGluZTp4' },
  ] as Record<string, string>[]) {
    assert.equal((await proxied(headers, 'CONNECT', 'allowed.test:443')).statusCode, 407)
    assert.equal((await proxied(headers, 'GET', 'http://allowed.test/')).statusCode, 407)
    assert.equal((await proxied(headers, 'GET', '/gateway/v1/models')).statusCode, 407)
  }
  for (const path of ['/', '/door/instructions', 'https://allowed.test/', 'ftp://allowed.test/', 'http://user:word@allowed.test/'])
    assert.equal((await proxied(key(), 'GET', path)).statusCode, 405, path)
  assert.deepEqual(asked, [])
})

test('clients that are gone before they hear that the key is missing harm nobody', async () => {
  const { hostname, port } = new URL(loopback.url)
  for (let round = 0; round < 20; round++) {
    const clients = Array.from({ length: 5 }, () => connect({ host: hostname, port: Number(port) }))
    await Promise.all(
      clients.map(async (client) => {
        await once(client, 'connect')
        client.write('CONNECT allowed.test:443 HTTP/1.1\r\nhost: allowed.test\r\n\r\n')
        client.resetAndDestroy()
        await once(client, 'close')
      }),
    )
  }
  assert.equal((await proxied({}, 'CONNECT', 'allowed.test:443')).statusCode, 407)
})

test('tools are told of a proxy only while something is allowed, and of the token never', () => {
  tellOf(loopback, false)
  const without = commandEnvironment('/home')
  assert.deepEqual([without['HTTPS_PROXY'], without['no_proxy'], without['AUTOVIBE_GATEWAY_URL']], [undefined, undefined, `${loopback.url}/gateway`])
  tellOf(loopback, true)
  const env = commandEnvironment('/home')
  assert.equal(env['https_proxy'], `http://machine:${loopback.key}@${new URL(loopback.url).host}/`)
  assert.equal(env['NO_PROXY'], 'localhost,127.0.0.1,::1')
  assert.ok(!JSON.stringify(env).includes(TOKEN))
  tellOf(null, true)
  assert.equal(commandEnvironment('/home')['HTTPS_PROXY'], undefined)
})
