/** One unix socket per machine: whoever speaks on it is that machine or nobody, before any token is looked at. */
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { basename, dirname, join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { MachineId } from '@autovibe/contract'
import { isWebSocketRequest } from '../exec/upgrade.ts'
import type { DoorListener } from '../substrates/substrate.ts'

export type MachineHandler = (machineId: MachineId, request: IncomingMessage, response: ServerResponse) => void
/** A socket that is the handler's from then on, but for its end: after `CONNECT host:port`, or as a WebSocket. */
export type MachineSocketHandler = (machineId: MachineId, request: IncomingMessage, socket: Duplex, head: Buffer) => void

export interface DoorListenerOptions {
  readonly connect?: MachineSocketHandler
  readonly upgrade?: MachineSocketHandler
}

/** What a machine may have open at once; it is hostile input like everything it says. */
const CONNECTIONS_MAX = 64
const HEADERS_TIMEOUT_MS = 10_000
/** For the request alone, not for its answer: bodies that are begun and never ended hold memory. */
const REQUEST_TIMEOUT_MS = 2 * 60_000
/** sun_path holds 108 bytes; a longer path is reached through its folder's descriptor. */
const SOCKET_PATH_BYTES_MAX = 100

const refuse: MachineSocketHandler = (_machineId, _request, socket) => socket.destroy()

/** Without a handler, neither tunnels nor WebSockets come about. */
export function createDoorListener(
  handle: MachineHandler,
  { connect = refuse, upgrade = refuse }: DoorListenerOptions = {},
): DoorListener & { closeAll(): Promise<void> } {
  const sockets = new Map<MachineId, { server: Server; path: string; folder: FileHandle | null; handedOver: Set<Duplex> }>()

  async function close(machineId: MachineId): Promise<void> {
    const entry = sockets.get(machineId)
    if (!entry) return
    sockets.delete(machineId)
    await new Promise<void>((resolve) => {
      entry.server.close(() => resolve())
      entry.server.closeAllConnections()
      // The server would wait for them, but does not end them.
      for (const socket of entry.handedOver) socket.destroy()
    })
    await entry.folder?.close()
  }

  return {
    async listen(machineId, socketPath) {
      const current = sockets.get(machineId)
      if (current?.path === socketPath && current.server.listening) return
      await close(machineId)
      await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 })
      await rm(socketPath, { force: true })
      const options = {
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        maxHeaderSize: 32 * 1024,
        shouldUpgradeCallback: isWebSocketRequest,
      }
      const server = createServer(options, (request, response) => handle(machineId, request, response))
      const handedOver = new Set<Duplex>()
      for (const [event, take] of [
        ['connect', connect],
        ['upgrade', upgrade],
      ] as const) {
        server.on(event, (request: IncomingMessage, socket: Duplex, head: Buffer) => {
          // Nobody listens to it any more, and whoever takes it may only say a word on it; an error without a listener would end the Hub.
          socket.on('error', () => socket.destroy())
          handedOver.add(socket)
          socket.once('close', () => handedOver.delete(socket))
          take(machineId, request, socket, head)
        })
      }
      server.maxConnections = CONNECTIONS_MAX
      const folder = Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX ? await open(dirname(socketPath), 'r') : null
      const path = folder ? join(`/proc/self/fd/${folder.fd}`, basename(socketPath)) : socketPath
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(path, () => {
          server.off('error', reject)
          resolve()
        })
      })
      sockets.set(machineId, { server, path: socketPath, folder, handedOver })
    },
    close,
    closeAll: async () => {
      await Promise.all([...sockets.keys()].map(close))
    },
  }
}
