/** Joins a guest's streams to the socket on which the Hub's door listens for exactly its machine. */
import { connect, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { GUEST_LIMITS, type MachineId } from '@autovibe/contract'

export class DoorStreams {
  readonly #open = new Map<MachineId, Set<Socket>>()

  /** False when the machine has as many as it may. */
  hasRoom(machineId: MachineId): boolean {
    return (this.#open.get(machineId)?.size ?? 0) < GUEST_LIMITS.doorStreams
  }

  /** Byte for byte; each way ends by itself, and when one side is gone, so is the other. */
  join(machineId: MachineId, guest: TLSSocket, doorPath: string): void {
    guest.allowHalfOpen = true
    const door = connect({ path: doorPath, allowHalfOpen: true })
    const open = this.#open.get(machineId) ?? new Set()
    this.#open.set(machineId, open.add(guest))
    door.on('error', () => undefined)
    guest.once('close', () => {
      door.destroy()
      open.delete(guest)
      if (open.size === 0 && this.#open.get(machineId) === open) this.#open.delete(machineId)
    })
    door.once('close', () => guest.destroy())
    guest.pipe(door)
    door.pipe(guest)
  }

  end(machineId: MachineId): void {
    for (const socket of this.#open.get(machineId) ?? []) socket.destroy()
  }

  endAll(): void {
    for (const machineId of [...this.#open.keys()]) this.end(machineId)
  }
}
