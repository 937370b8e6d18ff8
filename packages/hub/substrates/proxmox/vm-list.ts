/** The cluster's list of all VMs, for all who look at the same time: asked for every few seconds, one at a time, and not at once again of a cluster that fails or hangs. */
import type { ProxmoxClient } from './client/client.ts'
import type { AnswerOf } from './client/endpoints.ts'
import type { ProxmoxLogger } from './site.ts'

/** Nodes tell the cluster every ten seconds; looks at machines are not closer together than two. */
const LIST_EVERY_S = 4
/** A cluster that has just failed to answer is not asked again at once. */
const AFTER_FAILURE_S = 30
/** A look is one of many, and the guest's own figures do not wait for a node that is away. */
export const LOOK_MS = 3_000
/** After this long no answer will come. */
const LIST_MS = 15_000

interface Listing {
  readonly atS: number
  readonly vms: ReadonlyMap<number, AnswerOf<'GET /cluster/resources'>[number]>
}

export interface VmListParts {
  readonly client: Pick<ProxmoxClient, 'call' | 'clock'>
  readonly logger: Pick<ProxmoxLogger, 'info'>
}

export class VmList {
  readonly #parts: VmListParts
  #last: Listing | null = null
  #inFlight: { readonly answer: Promise<Listing | null>; readonly askedS: number } | null = null
  #nextS = Number.NEGATIVE_INFINITY

  constructor(parts: VmListParts) {
    this.#parts = parts
  }

  /** Null when it is not to be had now. */
  async read(signal: AbortSignal, bound: AbortSignal): Promise<Listing | null> {
    signal.throwIfAborted()
    if (this.#inFlight === null) {
      if (this.#nowS() < this.#nextS) return this.#last
      this.#ask()
    }
    const { answer, askedS } = this.#inFlight ?? {}
    // Others have waited in vain already.
    if (answer === undefined || askedS === undefined || this.#nowS() - askedS > LOOK_MS / 1000) return null
    const listing = await orNull(answer, bound)
    signal.throwIfAborted()
    return listing
  }

  /** That one of those who wait gives up is no reason to have no list. */
  #ask(): void {
    const askedS = this.#nowS()
    const answer = this.#parts.client
      .call('GET /cluster/resources', { type: 'vm' }, { signal: AbortSignal.timeout(LIST_MS) })
      .then(
        (all) => {
          this.#nextS = askedS + LIST_EVERY_S
          return { atS: askedS, vms: new Map(all.flatMap((each) => (each.vmid === undefined ? [] : [[each.vmid, each] as const]))) }
        },
        (err: unknown) => {
          this.#nextS = this.#nowS() + AFTER_FAILURE_S
          // Told once, not by each who waits for it.
          this.#parts.logger.info({ err }, 'the cluster did not tell what its VMs take')
          return null
        },
      )
      .then((listing) => {
        this.#last = listing
        this.#inFlight = null
        return listing
      })
    this.#inFlight = { answer, askedS }
  }

  #nowS(): number {
    return this.#parts.client.clock.nowMs() / 1000
  }
}

/** What is awaited for longer goes on for the others. */
async function orNull<T>(work: Promise<T>, signal: AbortSignal): Promise<T | null> {
  if (signal.aborted) return null
  const { promise, resolve } = Promise.withResolvers<null>()
  const giveUp = (): void => resolve(null)
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}
