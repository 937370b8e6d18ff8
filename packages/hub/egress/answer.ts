/** What is said on a socket that asked for a tunnel, in HTTP/1.1 by hand: for a CONNECT there is no response object. */
import type { Duplex } from 'node:stream'
import type { AutovibeError } from '@autovibe/contract'

export const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'

/** A proxy's own word for a caller that it does not know. */
const PROXY_AUTHENTICATION = 407
const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  402: 'Payment Required',
  403: 'Forbidden',
  407: 'Proxy Authentication Required',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
}

/** Refuses and closes. The problem document says everything; most tools show no more than the first line, so that says what to do. */
export function sendRefusal(socket: Duplex, error: AutovibeError): void {
  if (socket.destroyed) return
  const status = error.code === 'auth.missing' ? PROXY_AUTHENTICATION : error.status
  const body = Buffer.from(`${JSON.stringify({ ...error.toProblem(), status })}\n`)
  const head = [
    `HTTP/1.1 ${status} ${PHRASES[status] ?? 'Refused'} (${onOneLine(error.fix ?? error.message)})`,
    'content-type: application/problem+json',
    `content-length: ${body.length}`,
    ...(status === PROXY_AUTHENTICATION ? ['proxy-authenticate: Basic realm="autovibe"'] : []),
    ...(error.retryable ? ['retry-after: 1'] : []),
    'connection: close',
  ]
  socket.resume()
  socket.end(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]), () => socket.destroy())
}

const onOneLine = (text: string): string => text.replaceAll(/[^ -~]/g, '?').slice(0, 400)
