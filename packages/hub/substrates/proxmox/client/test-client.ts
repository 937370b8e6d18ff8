/** For tests: a client of a stand-in with short patience, and a door that answers what the test says. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { selfSigned } from '../../../../../test/proxmox/certificate.ts'
import type { ProxmoxStandIn } from '../../../../../test/proxmox/stand-in.ts'
import { type ClientOptions, ProxmoxClient } from './client.ts'
import type { Credentials } from './credentials.ts'

export const SHORT = {
  repeat: { firstMs: 1, mostMs: 5 },
  lock: { firstMs: 1, mostMs: 5 },
  poll: { firstMs: 1, mostMs: 10 },
  leaveOutMs: 5,
} as const

export function credentialsOf(token: string): Credentials {
  const [id = '', secret = ''] = token.split('=')
  return { kind: 'token', id, secret }
}

/** With root's token, at every door in order. */
export const clientOf = (pve: ProxmoxStandIn, options: Partial<ClientOptions> = {}): ProxmoxClient =>
  new ProxmoxClient({
    doors: [...pve.urls].map(([name, url]) => ({ url, fingerprint: pve.fingerprints.get(name) })),
    credentials: credentialsOf(pve.adminToken),
    ...options,
    limits: { ...SHORT, ...options.limits },
  })

export interface OwnDoor {
  readonly url: string
  readonly fingerprint: string
  readonly certificate: string
  /** Bytes that came inside TLS. */
  readonly received: () => number
  close(): Promise<void>
}

export async function ownDoor(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<OwnDoor> {
  const { key, cert, fingerprint } = selfSigned('localhost')
  const server = createServer({ key, cert }, answer)
  let received = 0
  server.on('secureConnection', (socket) =>
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
    }),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fingerprint,
    certificate: cert,
    received: () => received,
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

export const sendJson = (response: ServerResponse, data: unknown, status = 200): void =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ data }))
