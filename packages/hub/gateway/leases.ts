/** Keeps the reservations of calls under way alive, all with one statement each time. */
import type { ReservationId } from '@autovibe/contract'
import type { Logger } from 'pino'
import type { Ledger } from '../ledger/ledger.ts'
import { LIMITS } from './limits.ts'

export class Leases {
  readonly #held = new Set<ReservationId>()
  readonly #timer: NodeJS.Timeout

  constructor(ledger: Ledger, logger: Logger) {
    this.#timer = setInterval(() => {
      if (this.#held.size === 0) return
      ledger.extend([...this.#held], LIMITS.leaseMs).catch((error: unknown) => logger.warn({ err: error }, 'leases could not be moved forward'))
    }, LIMITS.leaseMs / 3)
  }

  /** From now on its lease moves forward. */
  keep(id: ReservationId): void {
    this.#held.add(id)
  }

  /** It is ending, or its holder is. */
  drop(id: ReservationId): void {
    this.#held.delete(id)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
