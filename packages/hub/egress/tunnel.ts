/** One attempt of a machine to reach something, and the tunnel that may come of it. */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { AutovibeError } from '@autovibe/contract'
import { type Destination, destinationText, parseDestination } from '@autovibe/core/egress/destination.ts'
import { allowsPlace, findRule } from '@autovibe/core/egress/rules.ts'
import type { Logger } from 'pino'
import { ESTABLISHED } from './answer.ts'
import type { Caller } from './callers.ts'
import { LIMITS } from './limits.ts'
import type { Cap, Meter } from './meter.ts'
import type { Passage } from './passage.ts'
import { pump } from './pump.ts'

/** Why a tunnel ended, as its last usage event says it if bytes were left for one. `uncharged`: under a cap, its bytes could not be charged. */
export type Ended = 'closed' | 'broken' | 'idle' | 'withdrawn' | 'budget' | 'uncharged' | 'hub'

/** What is read of the request: a place to go, and nothing besides. `request.invalid`. */
export function destinationOf(req: IncomingMessage): Destination {
  const destination = parseDestination(req.url ?? '')
  if ('wrong' in destination) {
    throw new AutovibeError('request.invalid', `Nothing can be reached at ${JSON.stringify((req.url ?? '').slice(0, 100))}: ${destination.wrong}.`)
  }
  // Who believed in a body and who did not would read different things into the tunnel.
  if (req.headers['content-length'] !== undefined || req.headers['transfer-encoding'] !== undefined)
    throw new AutovibeError('request.invalid', 'A CONNECT has no body.')
  return destination
}

export class Tunnel {
  readonly client: Duplex
  readonly token: string
  /** Aborted when there is nobody to connect for any more. */
  readonly gone = new AbortController()
  #established: { readonly destination: Destination; readonly passage: Passage; readonly meter: Meter } | undefined
  #ended: Ended | undefined

  constructor(client: Duplex, token: string) {
    this.client = client
    this.token = token
    client.once('close', () => this.gone.abort(new AutovibeError('request.invalid', 'The client has gone.')))
  }

  /** Ends it, whatever it is at. */
  end(why: Ended): void {
    this.#ended ??= why
    this.client.destroy()
    this.#established?.passage.socket.destroy()
  }

  /** Ends it when its machine may not, or no longer, go where it leads; null is a machine that may nothing. */
  look(caller: Caller | null, cap: Cap | undefined): void {
    if (!this.#established) return
    const { destination, passage, meter } = this.#established
    const rule = caller && findRule(caller.rules, destination)
    meter.capBy(cap)
    if (!rule || !allowsPlace(rule, passage.place)) this.end('withdrawn')
    else if (cap && cap.available <= 0n) this.end('budget')
  }

  /** From now on `look` and `end` reach it. */
  establish(destination: Destination, passage: Passage, meter: Meter): void {
    this.#established = { destination, passage, meter }
    // What ended while it was under way.
    if (this.#ended) passage.socket.destroy()
  }

  get isEstablished(): boolean {
    return this.#established !== undefined
  }

  get hasEnded(): boolean {
    return this.#ended !== undefined
  }

  /** Carries until it is over; what has passed is charged by then. */
  async carry(head: Buffer, logger: Logger): Promise<void> {
    if (!this.#established) throw new TypeError('a tunnel that leads nowhere carries nothing')
    const { destination, passage, meter } = this.#established
    const upstream: Socket = passage.socket
    if (this.client.destroyed) upstream.destroy()
    else this.client.write(ESTABLISHED)
    const charge = async (): Promise<void> => {
      try {
        if (!(await meter.charge())) this.end('budget')
      } catch (err) {
        logger.error({ err, destination: destinationText(destination) }, 'the bytes of a tunnel could not be charged')
        // Nothing uncounted passes a cap; where there is none, the next charge has them.
        if (meter.isCapped) this.end('uncharged')
      }
    }
    const broke = await pump(this.client, upstream, {
      head,
      idleMs: LIMITS.idleMs,
      halfOpenIdleMs: LIMITS.halfOpenIdleMs,
      onIdle: () => this.end('idle'),
      onBytes: (direction, bytes) => {
        meter.add(direction, bytes)
        return meter.isDue ? charge() : undefined
      },
    })
    this.#ended ??= broke ? 'broken' : 'closed'
    await meter
      .charge({ ended: this.#ended })
      .catch((err: unknown) => logger.error({ err, destination: destinationText(destination) }, 'the last bytes of a tunnel could not be charged'))
  }
}
