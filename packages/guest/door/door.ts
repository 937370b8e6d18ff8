/** The socket on which the agent finds its Hub: each connection becomes one of the guest's own to the Hub's gate, byte for byte. */
import { chmod, chown, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { GUEST_LIMITS } from '@autovibe/contract'
import { dial } from '../link/dial.ts'
import type { Identities } from '../link/identity.ts'
import type { Owner } from '../trees/copy-file.ts'

export interface Door {
  close(): Promise<void>
}

/** While the Hub is away, or the agent has as many connections as it may, a new one is closed. */
export async function openDoor(path: string, owner: Owner | null, identities: Identities): Promise<Door> {
  const ending = new AbortController()
  await rm(path, { force: true })
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on('error', () => undefined)
    join(socket, identities, ending.signal).catch(() => socket.destroy())
  })
  server.maxConnections = GUEST_LIMITS.doorStreams
  await listen(server, path)
  await chmod(path, 0o600)
  if (owner !== null) await chown(path, owner.uid, owner.gid)
  return {
    async close() {
      ending.abort()
      const { promise, resolve } = Promise.withResolvers<void>()
      server.close(() => resolve())
      await promise
    },
  }
}

function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(path, resolve)
  return promise
}

async function join(socket: Socket, identities: Identities, signal: AbortSignal): Promise<void> {
  const identity = identities.registered()
  if (identity === null) return void socket.destroy()
  const ended = new AbortController()
  socket.once('close', () => ended.abort())
  const { gate, token, secret } = identity
  const { socket: far, welcome } = await dial(gate, { wants: 'door', version: 2, token, secret }, AbortSignal.any([signal, ended.signal]))
  far.on('error', () => undefined)
  if (welcome.is !== 'open') {
    far.destroy()
    socket.destroy()
    return
  }
  signal.addEventListener('abort', () => socket.destroy(), { once: true })
  joinBoth(socket, far)
}

/** Each way ends by itself; when one side is gone, so is the other. */
function joinBoth(near: Socket, far: TLSSocket): void {
  near.pipe(far)
  far.pipe(near)
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    one.once('close', () => other.destroy())
  }
}
