/**
 * The machine's one loopback port, for tools that insist on TCP: an HTTP proxy to what the project allows (CONNECT, and plain http:// through a tunnel of its own, since
 * package mirrors still speak it), and below `/gateway/` the model gateway. The Hub decides what is let through, and adds up what it costs; a key of
 * this boot keeps others out where the loopback is not the machine's alone.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'
import { log } from '../log.ts'
import { type Hub, openTunnel, passOn } from './tunnel.ts'

export interface Loopback {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** Opens nothing but this port; tools are given it in place of the machine's token. */
  readonly key: string
  close(): void
}

/** Half of what a machine may have open at its Hub, so that its agent always finds room. */
const CONNECTIONS_MAX = 32
const HTTP_PORT = 80
/** What concerns one connection is not passed on to the next (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

export async function openLoopback(hub: Hub): Promise<Loopback> {
  const key = randomBytes(18).toString('base64url')
  const server = createServer((req, res) => {
    if (!carries(req, key)) return refuse(res, 407, 'The key of this port is missing; HTTP_PROXY and AUTOVIBE_GATEWAY_KEY have it.')
    const answered = req.url?.startsWith('/gateway/') ? toGateway(hub, req, res) : throughTunnel(hub, req, res)
    answered.catch((error: unknown) => refuse(res, 502, `The Hub does not answer: ${error instanceof Error ? error.message : String(error)}`))
  })
  server.maxConnections = CONNECTIONS_MAX
  // A model may think for long, and a tunnel be silent; the Hub has its own limits.
  server.requestTimeout = 0
  server.on('connect', (req, socket, head) => {
    // Without a listener, a client that is gone before it hears its answer would end the agent.
    socket.on('error', () => socket.destroy())
    if (carries(req, key)) passOn(hub, req.url ?? '', socket, head)
    else socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="machine"\r\nconnection: close\r\n\r\n')
  })
  server.on('error', (error) => log('the loopback port failed', { reason: error.message }))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // What keeps the agent alive is its work.
  server.unref()
  return {
    key,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** The same request on the Hub's socket, with the machine's token in place of the port's key. */
async function toGateway({ socketPath, token }: Hub, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { 'x-api-key': _key, ...headers } = endToEnd(req.headers)
  const upstream = request({
    socketPath,
    method: req.method,
    path: req.url,
    headers: { ...headers, host: 'hub', authorization: `Bearer ${token}` },
    agent: false,
  })
  await relay(req, res, upstream)
}

async function throughTunnel(hub: Hub, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = URL.parse(req.url ?? '')
  if (url?.protocol !== 'http:' || url.username !== '' || url.password !== '')
    return refuse(res, 405, 'This is a proxy: it takes CONNECT HOST:PORT, and requests for http:// addresses.')
  const opened = await openTunnel(hub, `${url.hostname}:${url.port || HTTP_PORT}`)
  if ('refusal' in opened) {
    const { refusal, body, head } = opened
    res.writeHead(refusal.statusCode ?? 502, refusal.statusMessage, { 'content-type': refusal.headers['content-type'] ?? 'text/plain', connection: 'close' })
    res.write(head)
    pipeline(body, res, () => undefined)
    return
  }
  const { socket } = opened
  const headers = { ...endToEnd(req.headers), host: url.host, connection: 'close' }
  await relay(req, res, request({ createConnection: () => socket, method: req.method, path: `${url.pathname}${url.search}`, headers }))
}

async function relay(req: IncomingMessage, res: ServerResponse, upstream: ReturnType<typeof request>): Promise<void> {
  res.once('close', () => upstream.destroy())
  pipeline(req, upstream, () => undefined)
  const [answer] = (await once(upstream, 'response')) as [IncomingMessage]
  // After the answer has begun, a break is told by a break.
  upstream.on('error', () => res.destroy())
  res.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.headers))
  pipeline(answer, res, () => undefined)
}

/** As the password of a proxy, or as the key of a provider in either vendor's header. */
function carries({ headers }: IncomingMessage, key: string): boolean {
  const [, basic] = /^basic +(\S+)$/i.exec(headers['proxy-authorization'] ?? '') ?? []
  const [, bearer] = /^bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? []
  const password =
    basic === undefined
      ? undefined
      : Buffer.from(basic, 'base64')
          .toString('utf8')
          .replace(/^[^:]*:/, '')
  const wanted = Buffer.from(key)
  return [password, bearer, headers['x-api-key']].some((given) => {
    const bytes = Buffer.from(typeof given === 'string' ? given : '')
    return bytes.length === wanted.length && timingSafeEqual(bytes, wanted)
  })
}

function endToEnd(headers: IncomingMessage['headers']): OutgoingHttpHeaders {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()))
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !named.has(name)))
}

function refuse(res: ServerResponse, status: number, sentence: string): void {
  if (res.headersSent) return void res.destroy()
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(`${sentence}\n`)
}
