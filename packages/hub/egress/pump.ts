/** Carries bytes both ways between two sockets: no faster than the slower side reads, one way still open when the other has ended, and not for ever without a byte. */
import type { Duplex } from 'node:stream'

export interface PumpOptions {
  /** What the client sent before it was answered. */
  readonly head: Buffer
  readonly idleMs: number
  /** Once one side has ended. */
  readonly halfOpenIdleMs: number
  /** Told of each piece as it is taken; while a promise that it returns is pending, nothing more is. */
  readonly onBytes: (direction: 'sent' | 'received', bytes: number) => Promise<void> | undefined
  readonly onIdle: () => void
}

/** Resolves when both sockets are closed; true when a side broke off. Whoever destroys them ends it. */
export async function pump(client: Duplex, upstream: Duplex, options: PumpOptions): Promise<boolean> {
  let broke = false
  let idle = setTimeout(options.onIdle, options.idleMs)
  const sides = [client, upstream] as const
  const closed = sides.map((side) => new Promise<void>((resolve) => (side.closed ? resolve() : side.once('close', () => resolve()))))
  /** How many reasons there are not to read: a slow reader for one way, a charge for both. */
  const holds = new Map<Duplex, number>([
    [client, 0],
    [upstream, 0],
  ])
  const hold = (side: Duplex): void => {
    holds.set(side, (holds.get(side) ?? 0) + 1)
    side.pause()
  }
  const letGo = (side: Duplex): void => {
    const left = (holds.get(side) ?? 1) - 1
    holds.set(side, left)
    if (left === 0) side.resume()
  }
  const take = (direction: 'sent' | 'received', piece: Buffer, from: Duplex, to: Duplex): void => {
    idle.refresh()
    if (to.writable && !to.write(piece)) {
      hold(from)
      to.once('drain', () => letGo(from))
    }
    const pending = options.onBytes(direction, piece.length)
    if (!pending) return
    for (const side of sides) hold(side)
    void pending.finally(() => {
      for (const side of sides) letGo(side)
    })
  }
  const carry = (direction: 'sent' | 'received', from: Duplex, to: Duplex): void => {
    from.on('data', (piece: Buffer) => take(direction, piece, from, to))
    const end = (): void => {
      clearTimeout(idle)
      idle = setTimeout(options.onIdle, options.halfOpenIdleMs)
      to.end()
    }
    // It may have ended before anybody listened.
    if (from.readableEnded) end()
    else from.on('end', end)
    from.on('error', () => {
      broke = true
      to.destroy()
    })
    // A side that is closed takes nothing any more: what was read of it is still delivered, then the other closes too.
    from.on('close', () => {
      if (to.writableFinished || to.destroyed) to.destroy()
      else to.end(() => to.destroy())
    })
  }
  if (options.head.length > 0) take('sent', options.head, client, upstream)
  carry('sent', client, upstream)
  carry('received', upstream, client)
  // One that closed before anybody listened.
  if (client.closed) upstream.destroy()
  if (upstream.closed) client.destroy()
  try {
    await Promise.all(closed)
  } finally {
    clearTimeout(idle)
  }
  return broke
}
