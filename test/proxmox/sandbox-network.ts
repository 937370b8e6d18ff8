/** A guest's way out: what it dials in its own empty network is joined to the real place, if the VM's rules allow it at that moment. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Server, type Socket } from 'node:net'
import { type Destination, isPlugged, mayReach } from './fence.ts'
import type { Network } from './guests.ts'

/** A place that guests may know: its address as they dial it and as rules name it, and where it really is. */
export interface Reachable extends Destination {
  readonly to?: { readonly host: string; readonly port: number }
}

export class SandboxNetwork {
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

  /** Opens the places in the network namespace of this process. */
  async open(pid: number, places: readonly Reachable[], isRoot: boolean): Promise<void> {
    if (places.length === 0) return
    const user = isRoot ? [] : ['--user', '--preserve-credentials']
    const listener = spawn(
      'nsenter',
      ['--target', String(pid), ...user, '--net', '--', process.execPath, new URL('netns-listener.cjs', import.meta.url).pathname, JSON.stringify(places)],
      { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env: {}, cwd: '/' },
    )
    listener.on('message', (index, server) => this.#joins(server as Server, places[index as number]))
    const said = await ended(listener)
    if (this.#servers.length < places.length) throw new Error(`the guest's network could not be made: ${said}`)
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

  /** Whoever is at the other end of a real cable hears nothing; here he is told at once. */
  #cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  #joins(server: Server, place: Reachable | undefined): void {
    if (!place) return void server.close()
    Object.assign(server, { allowHalfOpen: true })
    this.#servers.push(server)
    server.on('connection', (inside) => {
      if (!mayReach(this.#network, place)) {
        this.refused++
        inside.resetAndDestroy()
        return
      }
      const outside = connect({ host: place.address, port: place.port, ...place.to, allowHalfOpen: true })
      this.#pairs(inside, outside)
    })
  }

  #pairs(inside: Socket, outside: Socket): void {
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

async function ended(child: ChildProcess): Promise<string> {
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said += String(chunk)
  })
  await once(child, 'close')
  return said.trim()
}
