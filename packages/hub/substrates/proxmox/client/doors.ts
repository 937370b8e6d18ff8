/** The doors of a cluster: any of them leads everywhere, and one that does not answer is left out for a while. */
import type { Pool } from 'undici'
import { type Door, poolTo } from './connect.ts'
import type { ClientLimits } from './limits.ts'
import { Slots } from './slots.ts'

export interface OpenDoor {
  readonly url: string
  readonly pool: Pool
  readonly slots: Slots
}

export class Doors {
  readonly #doors: readonly { readonly open: OpenDoor; outUntilMs: number }[]
  readonly #limits: ClientLimits

  constructor(doors: readonly Door[], ca: string | undefined, limits: ClientLimits) {
    if (doors.length === 0) throw new RangeError('a cluster has at least one door')
    this.#limits = limits
    this.#doors = doors.map((door) => ({
      open: { url: door.url, pool: poolTo(door, ca, limits), slots: new Slots(limits.inFlight, limits.waiting) },
      outUntilMs: 0,
    }))
  }

  get count(): number {
    return this.#doors.length
  }

  /** The first that is not left out; if all are, the one that was left out first. */
  next(nowMs: number): OpenDoor {
    const found = this.#doors.find((door) => door.outUntilMs <= nowMs) ?? this.#doors.toSorted((left, right) => left.outUntilMs - right.outUntilMs)[0]
    if (!found) throw new RangeError('a cluster has at least one door')
    return found.open
  }

  allLeftOut(nowMs: number): boolean {
    return this.#doors.every((door) => door.outUntilMs > nowMs)
  }

  leaveOut(door: OpenDoor, nowMs: number): void {
    for (const each of this.#doors) if (each.open === door) each.outUntilMs = nowMs + this.#limits.leaveOutMs
  }

  async close(): Promise<void> {
    await Promise.all(this.#doors.map(({ open }) => open.pool.destroy()))
  }
}
