/** What happens to a connection until it is known whose it is: little time, little memory, and not many at once. */
import { constants } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createSecureServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { GUEST_LIMITS, GuestHello, type GuestWelcome } from '@autovibe/contract'
import { readLine, writeLine } from '@autovibe/core/guest/lines.ts'
import type { GateCertificate } from './certificate.ts'

export interface ReceptionLimits {
  readonly helloMs: number
  readonly unknownMost: number
  /** From one address: one machine must not keep the others out. */
  readonly unknownMostOfOne: number
}

export interface Received {
  readonly hello: GuestHello
  readonly socket: TLSSocket
  /** The line that answers; what comes after it is the caller's business. */
  welcome(welcome: GuestWelcome): Promise<void>
  /** The line that answers, and the end of the connection. */
  last(welcome: GuestWelcome): void
}

const KEEP_ALIVE_MS = 30_000

/** A server that calls `receive` for each connection with a hello of the right form; whatever that throws ends the connection. */
export function reception(certificate: GateCertificate, limits: ReceptionLimits, receive: (received: Received) => Promise<void>): Server {
  const unknown = new Map<string, string>()
  const options: TlsOptions = {
    ...{ key: certificate.key, cert: certificate.cert, handshakeTimeout: limits.helloMs },
    minVersion: 'TLSv1.3',
    // A session that is resumed would show no certificate; nobody here resumes one.
    secureOptions: constants.SSL_OP_NO_TICKET,
  }
  const secure = createSecureServer(options, (socket) => {
    socket.on('error', () => undefined)
    const isKnown = (): void => void unknown.delete(nameOf(socket))
    received(socket, limits.helloMs, isKnown)
      .then(receive)
      .catch(() => socket.destroy())
  })
  secure.on('tlsClientError', (_error, socket) => socket.destroy())
  return createServer((socket) => {
    const [name, address] = [nameOf(socket), socket.remoteAddress ?? '']
    socket.on('error', () => undefined)
    socket.once('close', () => unknown.delete(name))
    // Before TLS has cost anything.
    const ofOne = [...unknown.values()].filter((other) => other === address).length
    if (unknown.size >= limits.unknownMost || ofOne >= limits.unknownMostOfOne) return void socket.destroy()
    unknown.set(name, address)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    secure.emit('connection', socket)
  })
}

const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

async function received(socket: TLSSocket, helloMs: number, isKnown: () => void): Promise<Received> {
  const hello = GuestHello.parse(JSON.parse(await readLine(socket, GUEST_LIMITS.helloBytes, AbortSignal.timeout(helloMs))))
  return {
    hello,
    socket,
    async welcome(welcome) {
      await writeLine(socket, JSON.stringify(welcome), AbortSignal.timeout(helloMs))
      isKnown()
    },
    last(welcome) {
      socket.end(`${JSON.stringify(welcome)}\n`)
      // Whoever does not take the answer does not keep the connection.
      const latest = setTimeout(() => socket.destroy(), helloMs)
      socket.once('close', () => clearTimeout(latest))
      socket.resume()
    },
  }
}
