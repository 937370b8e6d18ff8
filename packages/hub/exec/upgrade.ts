/** The handshake of both ends of an exec: an HTTP request becomes a WebSocket, or is refused in the form of every other refusal. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type AutovibeError, EXEC_LIMITS, EXEC_PROTOCOL } from '@autovibe/contract'
import { type WebSocket, WebSocketServer } from 'ws'

/** Only these become something else than a request; an offer of HTTP/2, which some clients make with every request, is passed over. */
export const isWebSocketRequest = (request: IncomingMessage): boolean => request.headers.upgrade?.toLowerCase() === 'websocket'

const server = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  autoPong: false,
  maxPayload: EXEC_LIMITS.dataBytes + 1,
  handleProtocols: (offered) => (offered.has(EXEC_PROTOCOL) ? EXEC_PROTOCOL : false),
})

/** Calls back with the WebSocket; a handshake that is not one is answered by itself. */
export function acceptUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, onOpen: (socket: WebSocket) => void): void {
  server.handleUpgrade(request, socket, head, onOpen)
}

/** Answers a handshake with a problem document and ends the connection. */
export function refuseUpgrade(socket: Duplex, error: AutovibeError, headers: Readonly<Record<string, string | number>> = {}): void {
  const body = JSON.stringify(error.toProblem())
  const lines = Object.entries({ 'content-type': 'application/problem+json', 'content-length': Buffer.byteLength(body), connection: 'close', ...headers })
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${error.status} Refused\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
}
