/** The client of a Proxmox cluster: calls of the listed endpoints, typed, each answered or refused with an error that says what happened and what to do. */

import { backoffMs } from '@autovibe/core/proxmox/backoff.ts'
import { classify, type Failure, nextAfter, oneLine } from '@autovibe/core/proxmox/failures.ts'
import type { z } from 'zod'
import { type Clock, systemClock } from './clock.ts'
import type { Door } from './connect.ts'
import { type Credentials, Login, LoginRefused } from './credentials.ts'
import { Doors, type OpenDoor } from './doors.ts'
import type { FormValue } from './endpoint.ts'
import { type AnswerOf, CALLABLE, type EndpointName, type ParametersOf } from './endpoints.ts'
import { errorOf, NoAnswer } from './errors.ts'
import { type Answer, exchange } from './exchange.ts'
import { type Written, written } from './form.ts'
import { type ClientLimits, LIMITS } from './limits.ts'
import { UpidText } from './shapes.ts'
import { UPLOAD } from './template-endpoints.ts'
import { type Upload, uploadOf } from './upload.ts'

export interface ClientOptions {
  /** In order of preference. */
  readonly doors: readonly Door[]
  /** An authority in PEM for doors without a fingerprint. */
  readonly ca?: string
  readonly credentials: Credentials
  readonly clock?: Clock
  readonly limits?: Partial<ClientLimits>
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** The VMID makes this write one that may go out twice: the caller knows "taken" and "absent" for its own doing. Reads always may. */
  readonly idempotent?: boolean
  /** How long locks are waited out; zero for not at all. */
  readonly lockDeadlineMs?: number
}

export interface Page<T> {
  readonly data: T
  readonly total: number | undefined
}

export class ProxmoxClient {
  readonly clock: Clock
  readonly limits: ClientLimits
  readonly #doors: Doors
  readonly #login: Login

  constructor({ doors, ca, credentials, clock = systemClock, limits }: ClientOptions) {
    this.clock = clock
    this.limits = { ...LIMITS, ...limits }
    this.#doors = new Doors(doors, ca, this.limits)
    this.#login = new Login(credentials, clock)
  }

  async call<N extends EndpointName>(name: N, parameters: ParametersOf<N>, options?: CallOptions): Promise<AnswerOf<N>> {
    return (await this.page(name, parameters, options)).data
  }

  /** The same, and how many there are before the limit. Rejects with a ProxmoxError, or with the signal's reason. */
  async page<N extends EndpointName>(name: N, parameters: ParametersOf<N>, options: CallOptions = {}): Promise<Page<AnswerOf<N>>> {
    const request = written(name, parameters as Readonly<Record<string, FormValue>>)
    const returns: z.ZodType<AnswerOf<N>> = CALLABLE[name].returns as z.ZodType<AnswerOf<N>>
    return this.#read(name, request, returns, options)
  }

  /** A file goes up to a storage; answers the task that puts it into its place. */
  async upload(upload: Upload, options: Pick<CallOptions, 'signal'> = {}): Promise<string> {
    return (await this.#read(UPLOAD, uploadOf(upload), UpidText, options)).data
  }

  async #read<T>(name: string, request: Written, returns: z.ZodType<T>, options: CallOptions): Promise<Page<T>> {
    const { answer, repeated } = await this.#answered(name, request, options)
    const read = returns.safeParse(answer.data)
    if (read.success) return { data: read.data, total: answer.total }
    const where = read.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
    throw errorOf({ kind: 'unreadable', words: `answered ${name} with what cannot be read: ${oneLine(where)}`, errors: {} }, name, repeated)
  }

  close(): Promise<void> {
    return this.#doors.close()
  }

  async #answered(name: string, request: Written, options: CallOptions): Promise<{ answer: Answer; repeated: boolean }> {
    const { signal, idempotent = false, lockDeadlineMs = this.limits.lockDeadlineMs } = options
    const repeatable = request.method === 'GET' || idempotent
    const startedMs = this.clock.nowMs()
    const mostRepeats = Math.max(this.limits.repeats, this.#doors.count)
    let [repeats, waits, uncertain, loggedInAgain] = [0, 0, false, false]
    // Each turn ends the call, uses up one of the repeats, or brings the deadline of the lock nearer.
    for (;;) {
      signal?.throwIfAborted()
      const door = this.#doors.next(this.clock.nowMs())
      const outcome = await this.#once(door, request, signal)
      if ('answer' in outcome) return { answer: outcome.answer, repeated: uncertain }
      const { kind } = outcome
      if (kind === 'not sent' || kind === 'unanswered') this.#doors.leaveOut(door, this.clock.nowMs())
      if (kind === 'credentials' && this.#login.renewable && !loggedInAgain) {
        // Refused before anything was done: the ticket has ended, or the cluster has new keys.
        this.#login.forget()
        loggedInAgain = true
        continue
      }
      const next = nextAfter(kind, repeatable)
      if (next === 'give up') throw errorOf(outcome, name, uncertain)
      if (next === 'wait for the lock') {
        const waitMs = backoffMs(this.limits.lock, waits++, this.clock.chance())
        if (this.clock.nowMs() - startedMs + waitMs > lockDeadlineMs) throw errorOf(outcome, name, uncertain)
        await this.clock.pause(waitMs, signal)
        continue
      }
      if (repeats >= mostRepeats) throw errorOf(outcome, name, uncertain)
      uncertain ||= kind !== 'not sent'
      if (next === 'wait and ask again' || this.#doors.allLeftOut(this.clock.nowMs()))
        await this.clock.pause(backoffMs(this.limits.repeat, repeats, this.clock.chance()), signal)
      repeats += 1
    }
  }

  /** One attempt at one door. */
  async #once(door: OpenDoor, request: Written, signal: AbortSignal | undefined): Promise<{ readonly answer: Answer } | Failure> {
    try {
      const answer = await door.slots.within(async () => {
        // Others wait for the same login, so that one caller's signal does not end it.
        const headers = await this.#login.headers(request.method, (each) => exchange(door.pool, each, {}, this.limits, undefined))
        return exchange(door.pool, request, headers, this.limits, signal)
      }, signal)
      return answer.status === 200 ? { answer } : classify(answer)
    } catch (error) {
      if (error instanceof LoginRefused) return classify(error.answer)
      if (error instanceof NoAnswer) return { kind: error.kind, words: oneLine(error.message), errors: {} }
      throw error
    }
  }
}
