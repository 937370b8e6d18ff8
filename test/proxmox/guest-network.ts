/** A guest's way out: what it dials at a place that it may know is joined to the real one, if the VM's rules allow it at that moment. */
import { connect, type Server, type Socket } from 'node:net'
import { type Destination, isPlugged, mayReach } from './fence.ts'
import type { Network } from './guests.ts'

/** A place that guests may know: its address as they dial it and as rules name it, and where it really is. */
export interface Reachable extends Destination {
  readonly to?: { readonly host: string; readonly port: number }
}

export class GuestNetwork {
  /** Bytes by the guest's view. */
  received = 0
  sent = 0
  /** Connections that the rules refused. */
  refused = 0
  #network: Network
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()

  constructor(network: Network) {
    this.#network = network
  }

  get network(): Network {
    return this.#network
  }

  /** New connections meet the new rules; those that stand go on as behind Proxmox's firewall, unless the last card is pulled out. */
  change(network: Network): void {
    this.#network = network
    if (!network.nics.some(isPlugged)) this.#cut()
  }

  close(): void {
    for (const server of this.#servers) server.close()
    this.#cut()
  }

  /** What this server accepts comes from the guest and wants to go to the place. */
  joins(server: Server, place: Reachable): void {
    // A server that another process has opened lacks it.
    Object.assign(server, { allowHalfOpen: true })
    this.#servers.push(server)
    server.on('connection', (inside) => {
      if (!mayReach(this.#network, place)) {
        this.refused++
        end(inside)
        return
      }
      this.#pair(inside, connect({ host: place.address, port: place.port, ...place.to, allowHalfOpen: true }))
    })
  }

  /** Whoever is at the other end of a real cable hears nothing; here he is told at once. */
  #cut(): void {
    for (const socket of this.#sockets) end(socket)
  }

  #pair(inside: Socket, outside: Socket): void {
    inside.on('data', (chunk: Buffer) => {
      this.sent += chunk.length
    })
    outside.on('data', (chunk: Buffer) => {
      this.received += chunk.length
    })
    for (const [socket, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        // What its last bytes were is still on the way.
        if (socket.readableEnded) other.end()
        else other.destroy()
      })
      socket.pipe(other)
    }
  }
}

/** With a reset where the socket is one of TCP and has not said its end yet: Node would keep its descriptor, and could not end itself, if it were reset while that goes out. */
function end(socket: Socket): void {
  if (socket.remoteFamily === undefined || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
