/** Tunnels through the Hub: CONNECT on the machine's socket, with the token that tools are not given. */
import { type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

export interface Hub {
  readonly socketPath: string
  readonly token: string
}

const UNREACHABLE = 'HTTP/1.1 502 Bad Gateway (the Hub does not answer)\r\nconnection: close\r\n\r\n'

/** Passes a client's CONNECT on, and then everything both ways: what the Hub answers, good or bad, is the client's answer. */
export function passOn({ socketPath, token }: Hub, authority: string, client: Duplex, head: Buffer): void {
  const hub = connect({ path: socketPath, allowHalfOpen: true })
  let isAnswered = false
  hub.once('data', () => {
    isAnswered = true
  })
  hub.on('error', () => {
    if (isAnswered) client.destroy()
    else client.end(UNREACHABLE)
  })
  client.on('error', () => hub.destroy())
  client.on('close', () => hub.destroySoon())
  hub.on('close', () => (client.writableEnded ? undefined : client.end()))
  hub.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\nproxy-authorization: Bearer ${token}\r\n\r\n`)
  if (head.length > 0) hub.write(head)
  client.pipe(hub)
  hub.pipe(client)
}

export type Opened = { readonly socket: Socket } | { readonly refusal: IncomingMessage; readonly body: Duplex; readonly head: Buffer }

/** A tunnel of our own, or the Hub's refusal with its body still to be read. Rejects when the Hub does not answer. */
export function openTunnel({ socketPath, token }: Hub, authority: string): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const asked = request({
      socketPath,
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, 'proxy-authorization': `Bearer ${token}` },
      agent: false,
    })
    asked.once('error', reject)
    asked.once('connect', (response, socket, head) => {
      socket.on('error', () => undefined)
      if (response.statusCode !== 200) return resolve({ refusal: response, body: socket, head })
      if (head.length > 0) socket.unshift(head)
      resolve({ socket: socket as Socket })
    })
    asked.end()
  })
}
