/** Peers that speak to the gate as no guest of ours would: a bare TLS connection, and an HTTP/2 server behind it that answers as the test says. */
import { once } from 'node:events'
import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { connect, type TLSSocket } from 'node:tls'
import { decodeInvitation, type GuestHello, GuestWelcome } from '@autovibe/contract'
import { readLine, writeLine } from '@autovibe/core/guest/lines.ts'
import { never } from './ground.ts'

export const CLAIM = 'c'.repeat(43)

export async function rawConnection(port: number): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  return socket
}

/** Null when the gate ends the connection instead. */
export async function hello(port: number, says: GuestHello | string): Promise<{ readonly socket: TLSSocket; readonly welcome: GuestWelcome | null }> {
  const socket = await rawConnection(port)
  await writeLine(socket, typeof says === 'string' ? says : JSON.stringify(says), never)
  const welcome = await readLine(socket, 1024, never).catch(() => null)
  return { socket, welcome: welcome === null ? null : GuestWelcome.parse(JSON.parse(welcome)) }
}

/** The token that an invitation buys. */
export async function register(port: number, invitation: string, claim = CLAIM): Promise<string> {
  const secret = decodeInvitation(invitation)?.secret ?? ''
  const { welcome } = await hello(port, { wants: 'register', version: 1, secret, claim })
  if (welcome?.is !== 'registered') throw new Error('the gate did not accept the invitation')
  return welcome.token
}

/** Linked as this machine; `answer` is all that it ever says. */
export async function rawLink(
  port: number,
  token: string,
  answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<ServerHttp2Session> {
  const { socket, welcome } = await hello(port, { wants: 'link', version: 1, token })
  if (welcome?.is !== 'linked') throw new Error('the gate did not let the guest in')
  const session = performServerHandshake(socket)
  session.on('error', () => undefined)
  session.on('stream', (stream, headers) => {
    stream.on('error', () => undefined)
    answer(stream, headers)
  })
  return session
}
